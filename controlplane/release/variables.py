"""What a run decides: its interval and its name, as the open places `plane.*` of a release's SQL
want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from controlplane.base import naming, template
from controlplane.base.types import Interval, format_duration
from controlplane.errors import PermanentError
from controlplane.release.program import Program

_NEVER = ("9999-01-01 00:00:00.000000", "9999-01-01 00:00:00.000000")
"""Stands in a list without parts, which SQL does not know."""


class Step(NamedTuple):
    """One interval; of the first one, rows from before `since` are not kept."""

    start: str
    end: str
    since: str


@dataclass(frozen=True)
class RunVariables:
    """The value of `plane` in a release's SQL.

    Every attribute is text that is safe where the templates put it.

    `cover` are the tiles and rollups that make up the windows at the interval's end: window, start,
    end; `cover_tiles` and `cover_rollups` are those of either kind, each once. `steps` are the
    intervals that the run evaluates.
    """

    start: str
    end: str
    read_start: str
    stage: str
    run_id: str
    intervals: str
    cover: Sequence[tuple[int, str, str]]
    cover_tiles: Sequence[tuple[str, str]]
    cover_rollups: Sequence[tuple[str, str]]
    steps: Sequence[Step]


def run_variables(program: Program, interval: Interval, run_id: str) -> RunVariables:
    """The variables of one run.

    Args:
        program: the view.
        interval: whole intervals of the view's schedule. What lies less than the view's lateness
            before is computed again; the first interval reads back as far as its windows need.
        run_id: names the run in the ledger; retries of a run have the same.

    Raises:
        PermanentError: the interval is not on the view's grid or begins before its start.
    """
    timing = program.timing
    if any(timing.floor(instant) != instant for instant in (interval.start, interval.end)):
        step = format_duration(timing.schedule)
        text = f"feature view {program.view!r}: {interval} is not made of whole intervals of {step}"
        raise PermanentError(text, hint="give a range on the grid of the view's schedule")
    if interval.start < program.timing.start:
        raise PermanentError(
            f"feature view {program.view!r}: {interval} begins before the view's start",
            hint=(
                f"begin at {program.timing.start.isoformat()} or later, or deploy an earlier start"
            ),
        )
    start = max(interval.start - program.lateness, program.timing.start)
    cover = program.cover.at(interval.end) if program.cover else []
    parts = sorted({part for _, part in cover}, key=lambda part: (part.start, part.end))
    tiles = [
        part for part in parts if program.cover and part.end - part.start == program.cover.tile
    ]
    read_start = program.read_start if start == program.timing.start else start
    return RunVariables(
        start=naming.instant_literal(start),
        end=naming.instant_literal(interval.end),
        read_start=naming.instant_literal(read_start),
        stage=naming.stage(program.view, run_id, interval),
        run_id=run_id.replace("'", "''"),
        intervals=str((interval.end - start) // timing.schedule),
        cover=[(place, *_texts(part)) for place, part in cover] or [(-1, *_NEVER)],
        cover_tiles=[_texts(part) for part in tiles] or [_NEVER],
        cover_rollups=[_texts(part) for part in parts if part not in tiles] or [_NEVER],
        steps=_steps(program, read_start, interval.end) if program.steps else (),
    )


def _steps(program: Program, read_start: datetime, end: datetime) -> list[Step]:
    """The intervals of a view that has a statement for each; a static one has none."""
    whole = Interval(program.timing.floor(read_start), end)
    return [
        Step(*_texts(part), naming.instant_literal(max(part.start, read_start)))
        for part in whole.split(program.timing.schedule)
    ]


def _texts(interval: Interval) -> tuple[str, str]:
    return naming.instant_literal(interval.start), naming.instant_literal(interval.end)


def fill(text: str, variables: RunVariables) -> str:
    """A file of a release with the variables put in."""
    return template.render_text(text, {"plane": variables})
