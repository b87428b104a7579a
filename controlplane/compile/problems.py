"""Collect all problems of a project, instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from controlplane.base import naming
from controlplane.base.types import InvalidValue, parse_duration, parse_instant
from controlplane.errors import DefinitionError, Location, PlaneError

T = TypeVar("T")


class Collector:
    """The problems of one pass over a project.

    In its methods, `subject` is what a message calls the value that is checked, such as
    `feature view 'spend', schedule`.

    Args:
        root: the project's folder; locations become relative to it.
    """

    def __init__(self, root: Path) -> None:
        self.problems: list[PlaneError] = []
        self._root = root

    def located(self, location: Location) -> Location:
        """Make a location relative to the project, if the file lies inside."""
        return Location(_relative(location.file, self._root), location.line)

    def add(self, message: str, location: Location, hint: str = "") -> None:
        """Note one problem at one location."""
        self.problems.append(DefinitionError(message, where=self.located(location), hint=hint))

    def adopt(self, error: PlaneError) -> None:
        """Note an error that was raised; its location becomes relative to the project."""
        if error.where is not None:
            error.where = self.located(error.where)
        self.problems.append(error)

    def name(self, subject: str, name: object, location: Location) -> bool:
        """Check the name of a definition; if it is wrong, note the problem and return False."""
        if naming.is_name(name):
            return True
        self.add(f"{subject}: this is not a valid name", location, naming.name_remedy(name))
        return False

    def parsed(
        self, subject: str, parse: Callable[[str], T], text: object, location: Location
    ) -> T | None:
        """Return `parse(text)`; if it raises `InvalidValue`, note the problem and return None."""
        if not isinstance(text, str):
            self.add(
                f"{subject} must be text, not {type(text).__name__}", location, "put it into quotes"
            )
            return None
        try:
            return parse(text)
        except InvalidValue as error:
            self.add(f"{subject}: {error.problem}", location, error.remedy)
            return None

    def duration(self, subject: str, text: object, location: Location) -> timedelta | None:
        """Parse a duration; if it is wrong, note the problem and return None."""
        return self.parsed(subject, parse_duration, text, location)

    def signed_duration(self, subject: str, text: object, location: Location) -> timedelta | None:
        """Parse a duration such as `-6h`; if it is wrong, note the problem and return None."""
        return self.parsed(subject, _signed_duration, text, location)

    def instant(self, subject: str, text: object, location: Location) -> datetime | None:
        """Parse an instant; if it is wrong, note the problem and return None."""
        return self.parsed(subject, parse_instant, text, location)


def _signed_duration(text: str) -> timedelta:
    length = parse_duration(text.strip().removeprefix("-"))
    return -length if text.strip().startswith("-") else length


# A project of 1,000 views has few files and thousands of locations in them.
@lru_cache(maxsize=10_000)
def _relative(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def listing(names: Iterable[str]) -> str:
    """List names for a hint: `a, b, c`."""
    return ", ".join(names) or "(none)"
