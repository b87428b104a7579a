"""The variables of a run, `plane.*` in a release's SQL: its interval, its names and its cover."""

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
"""The item of an empty list: SQL has no empty lists of values."""


class Step(NamedTuple):
    """One interval; rows before `since` are not kept (only the first interval has such rows)."""

    start: str
    end: str
    since: str


@dataclass(frozen=True)
class RunVariables:
    """The value of `plane` in a release's SQL.

    Every attribute is text that is safe where the templates put it.

    Attributes:
        start: The start of the interval.
        end: The end of the interval.
        read_start: The start of the data that the run reads.
        stage: The name of the stage.
        run_id: The name of the run in the ledger, with quotes doubled.
        intervals: The number of intervals of the view's schedule.
        cover: The tiles and rollups that make up the windows at the interval's end: (index of the
            window, start, end).
        cover_tiles: The tiles of `cover`, each once.
        cover_rollups: The rollups of `cover`, each once.
        steps: The intervals that the run evaluates one by one.
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
    """Compute the variables of one run.

    Args:
        program: the view.
        interval: whole intervals of the view's schedule. The view's lateness before it is computed
            again. A run from the view's start also reads the data of its first windows.
        run_id: the name of the run in the ledger; retries of a run keep it.

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
        cover=[(index, *_texts(part)) for index, part in cover] or [(-1, *_NEVER)],
        cover_tiles=[_texts(part) for part in tiles] or [_NEVER],
        cover_rollups=[_texts(part) for part in parts if part not in tiles] or [_NEVER],
        steps=_steps(program, read_start, interval.end) if program.steps else (),
    )


def _steps(program: Program, read_start: datetime, end: datetime) -> list[Step]:
    """List the intervals of a run whose stage has a statement for each."""
    whole = Interval(program.timing.floor(read_start), end)
    return [
        Step(*_texts(part), naming.instant_literal(max(part.start, read_start)))
        for part in whole.split(program.timing.schedule)
    ]


def _texts(interval: Interval) -> tuple[str, str]:
    return naming.instant_literal(interval.start), naming.instant_literal(interval.end)


def fill(text: str, variables: RunVariables) -> str:
    """Fill the variables of a run into a file of a release."""
    return template.render_text(text, {"plane": variables})
