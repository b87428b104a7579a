"""The options that commands share, and how a command opens its project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.base.types import EPOCH, Interval, InvalidValue, parse_instant
from controlplane.cli import plans, present
from controlplane.cli.interrupt import cancelling
from controlplane.embedded import valkey
from controlplane.errors import PlaneError
from controlplane.workspace.project import Project

if TYPE_CHECKING:
    from controlplane.plan.plan import Plan

HERE = Path()
# Not the year 9999: arithmetic with time zones, delays and windows must not overflow.
_FOREVER = datetime(9000, 1, 1, tzinfo=UTC)

Environment = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        envvar="PLANE_ENV",
        help="Environment, as named in plane.toml.",
        show_default="local",
    ),
]
Directory = Annotated[
    Path,
    typer.Option(
        "--directory",
        "-C",
        help="The project's folder, or a folder inside it.",
        show_default="current folder",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Start = Annotated[
    str | None,
    typer.Option(
        help="Start of the range (inclusive), in UTC, such as 2013-01-01 or 2013-01-01T06:00Z."
    ),
]
End = Annotated[str | None, typer.Option(help="End of the range (exclusive), in UTC.")]


@contextmanager
def opened(directory: Path, environment: str | None) -> Iterator[Project]:
    """Open the project; Ctrl-C cancels the statement that the warehouse runs."""
    with (
        Project(directory, environment, embedded=valkey.options) as project,
        cancelling(project.cancel),
    ):
        yield project


def instant(text: str, option: str) -> datetime:
    """Parse the text of an option as an instant.

    Raises:
        PlaneError: the text is not an instant.
    """
    try:
        return parse_instant(text)
    except InvalidValue as error:
        raise PlaneError(f"--{option}: {error.problem}", hint=error.remedy) from None


def interval(start: str | None, end: str | None) -> Interval | None:
    """Parse `--start` and `--end` as a half-open range; None if both are None.

    Raises:
        PlaneError: an option is not an instant, or the range is empty.
    """
    if start is None and end is None:
        return None
    first = instant(start, "start") if start else EPOCH
    last = instant(end, "end") if end else _FOREVER
    if first >= last:
        until = f"--end {end}" if end else f"the latest end, {last.date()}"
        raise PlaneError(
            f"--start {start} is not before {until}",
            hint="the end is exclusive: it must be later than the start",
        )
    return Interval(first, last)


def approving(verb: str, *, json: bool, yes: bool) -> Callable[[Plan], bool]:
    """Return a function that shows a plan and asks before it drops feature views or tables.

    Without a terminal nobody can answer: such a plan is then approved by `--yes` only.
    """

    def approve(plan: Plan) -> bool:
        if not json:
            plans.show(plan)
        dropped = [*plan.dropped, *plan.altered]
        ask = f"This drops {', '.join(dropped)}. {verb}?"
        # With --json, standard output is read by a program: nobody may be there to answer.
        return yes or not dropped or (not json and present.confirm(ask))

    return approve


def parse_pairs(option: str, texts: Sequence[str], example: str) -> dict[str, str]:
    """Parse the texts of a repeatable option `name=value`; return name -> value.

    Raises:
        PlaneError: a text is not of that form, or a name is repeated.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in values:
            raise PlaneError(
                f"--{option} {text}: write name=value, and each name once", hint=example
            )
        values[name] = value
    return values
