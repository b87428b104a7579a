"""Which intervals a deployed manifest still has to compute, and when an event becomes visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from controlplane.base.types import Interval, subtract
from controlplane.manifest.specs import (
    BatchViewSpec,
    IntervalByInterval,
    Manifest,
    RowByRow,
    StaticViewSpec,
    ViewSpec,
)
from controlplane.manifest.timing import timing
from controlplane.sql.dialects import dialect
from controlplane.sql.rows import evaluated_together


class Stretch(msgspec.Struct, frozen=True):
    """A half-open stretch of time, and how many intervals of the view's schedule it holds."""

    start: datetime
    end: datetime
    intervals: int


class Cost(msgspec.Struct, frozen=True):
    """What a run of one interval takes: `low` to `high` of a `unit`, as `basis` has it.

    The unit is `rows` that its SQL returns, or `bytes` that it reads; the basis `earlier runs`, or
    the warehouse's `estimate` before it runs.
    """

    low: int
    high: int
    unit: str
    basis: str


class Computation(msgspec.Struct, frozen=True):
    """How a view's SQL is computed, and what the missing intervals cost.

    `way` is `row by row`, `interval by interval`, or `as a whole` for a static view. `construct` is
    the part of the SQL that makes it interval by interval, at `place` (`file:line`); both are empty
    for the others. `statements` is how many statements evaluate the SQL for all that is missing.
    """

    way: str
    construct: str
    place: str
    statements: int


class Forecast(msgspec.Struct, frozen=True):
    """What one view has to compute, and when an event at `event` becomes visible in it
    (`visible_at`)."""

    view: str
    fingerprint: str
    missing: tuple[Stretch, ...]
    event: datetime
    visible_at: datetime
    costs: tuple[Cost, ...] = ()
    computation: Computation | None = None

    @property
    def intervals(self) -> int:
        """How many intervals are missing."""
        return sum(stretch.intervals for stretch in self.missing)


Covered = Callable[[str, str], Sequence[Interval]]
"""What is covered of a version: (view, fingerprint) -> intervals."""


def forecast(manifest: Manifest, covered: Covered, now: datetime) -> tuple[Forecast, ...]:
    """The forecast of every view at `now`.

    The example event is the last instant of the newest due interval.
    """
    found = []
    for view in manifest.views:
        times = timing(view)
        due = times.due(now)
        gaps = subtract(due, list(covered(view.name, view.fingerprint))) if due else []
        stretches = tuple(Stretch(gap.start, gap.end, gap.count(view.schedule)) for gap in gaps)
        event = (due.end if due else view.start) - view.schedule / 2
        how = computation(manifest, view, gaps)
        visible = times.visible(event)
        found.append(
            Forecast(view.name, view.fingerprint, stretches, event, visible, computation=how)
        )
    return tuple(found)


def computation(manifest: Manifest, view: ViewSpec, missing: Sequence[Interval]) -> Computation:
    """How a view is computed, and in how many statements for these gaps."""
    match view:
        case StaticViewSpec():
            return Computation("as a whole", "", "", 1 if missing else 0)
        case BatchViewSpec():
            return _of_batch_view(manifest, view, missing)
        case never:
            assert_never(never)


def _of_batch_view(
    manifest: Manifest, view: BatchViewSpec, missing: Sequence[Interval]
) -> Computation:
    if evaluated_together(manifest, view, dialect(manifest.dialect)):
        pieces = timing(view).pieces
        statements = sum(1 for gap in missing for _ in pieces(gap))
    else:
        statements = sum(gap.count(view.schedule) for gap in missing)
    match view.evaluation:
        case RowByRow():
            return Computation("row by row", "", "", statements)
        case IntervalByInterval(construct, location):
            return Computation("interval by interval", construct, str(location), statements)
        case _ as never:
            assert_never(never)


def covered_by(publications: Mapping[tuple[str, str], Sequence[Interval]], schema: str) -> Covered:
    """`Covered` from the ledger's intervals by (`schema.view`, fingerprint)."""
    return lambda view, fingerprint: publications.get((f"{schema}.{view}", fingerprint), ())
