"""Collecting everything that is wrong, instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from controlplane.base.types import parse_duration, parse_instant
from controlplane.errors import DefinitionError, Location, PlaneError

T = TypeVar("T")


class Collector:
    """The problems of one pass. `root` is the project's folder, to which places are relative."""

    def __init__(self, root: Path) -> None:
        self.found: list[PlaneError] = []
        self._root = root

    def located(self, location: Location) -> Location:
        """The location, relative to the project where it lies inside."""
        return Location(_relative(location.file, self._root), location.line)

    def add(self, message: str, location: Location, hint: str = "") -> None:
        """Note one problem at one place."""
        self.found.append(DefinitionError(message, where=self.located(location), hint=hint))

    def adopt(self, error: PlaneError) -> None:
        """Note an error that was raised; its place becomes relative to the project."""
        if error.where is not None:
            error.where = self.located(error.where)
        self.found.append(error)

    def parsed(
        self, what: str, parse: Callable[[str], T], text: object, location: Location
    ) -> T | None:
        """`parse(text)`.

        Where that raises `ValueError`, None, and the problem is noted as that of `what`.

        What the error says after its first colon is the remedy.
        """
        if not isinstance(text, str):
            self.add(
                f"{what} must be text, not {type(text).__name__}", location, "put it into quotes"
            )
            return None
        try:
            return parse(text)
        except ValueError as error:
            message, _, hint = str(error).partition(": ")
            self.add(f"{what}: {message}", location, hint)
            return None

    def duration(self, what: str, text: object, location: Location) -> timedelta | None:
        """`text` as a duration, or None and a problem."""
        return self.parsed(what, parse_duration, text, location)

    def instant(self, what: str, text: object, location: Location) -> datetime | None:
        """`text` as an instant, or None and a problem."""
        return self.parsed(what, parse_instant, text, location)


@lru_cache(maxsize=10_000)
def _relative(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def listing(names: Iterable[str]) -> str:
    """Names for a hint: `a, b, c`."""
    return ", ".join(names) or "(none)"
