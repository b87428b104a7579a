"""The options that commands share, and the project that they work on."""

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
_FOREVER = datetime(9000, 1, 1, tzinfo=UTC)

Environment = Annotated[
    str | None,
    typer.Option(
        "--env", "-e", envvar="PLANE_ENV", help="Environment of plane.toml.", show_default="local"
    ),
]
Directory = Annotated[
    Path,
    typer.Option(
        "--directory", "-C", help="The project's folder, or one inside it.", show_default="here"
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")
]
Start = Annotated[
    str | None, typer.Option(help="First instant, such as 2013-01-01 or 2013-01-01T06:00Z.")
]
End = Annotated[str | None, typer.Option(help="First instant that is left out.")]


@contextmanager
def opened(directory: Path, environment: str | None) -> Iterator[Project]:
    """The project and its environment, ready to be used; Ctrl-C stops what the warehouse does."""
    with (
        Project(directory, environment, embedded=valkey.options) as project,
        cancelling(project.cancel),
    ):
        yield project


def instant(text: str, option: str) -> datetime:
    """An option's text as an instant.

    Raises:
        PlaneError: it is not one.
    """
    try:
        return parse_instant(text)
    except InvalidValue as error:
        raise PlaneError(f"--{option}: {error.problem}", hint=error.remedy) from None


def interval(start: str | None, end: str | None) -> Interval | None:
    """Both options as a half-open stretch; None if neither is given.

    Raises:
        PlaneError: one is missing or wrong, or the stretch is empty.
    """
    if start is None and end is None:
        return None
    first = instant(start, "start") if start else EPOCH
    last = instant(end, "end") if end else _FOREVER
    if first >= last:
        until = f"--end {end}" if end else f"the latest end, {last.date()}"
        raise PlaneError(
            f"--start {start} is not before {until}", hint="the end is left out, so it comes later"
        )
    return Interval(first, last)


def approving(verb: str, *, json: bool, yes: bool) -> Callable[[Plan], bool]:
    """Shows a plan, and asks before feature views or altered tables are dropped.

    Where nobody can be asked, they are not.
    """

    def approve(plan: Plan) -> bool:
        if not json:
            plans.show(plan)
        dropped = [*plan.dropped, *plan.altered]
        ask = f"This drops {', '.join(dropped)}. {verb}?"
        return yes or not dropped or (not json and present.confirm(ask))

    return approve


def named(option: str, texts: Sequence[str], example: str) -> dict[str, str]:
    """The names and values of an option that is given as `name=value`, once for each name.

    Raises:
        PlaneError: one is not of that form, or comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in found:
            raise PlaneError(
                f"--{option} {text}: write name=value, and each name once", hint=example
            )
        found[name] = value
    return found
