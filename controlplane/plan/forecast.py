"""The intervals that a manifest has yet to compute, and the time when an event becomes visible."""

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


class Gap(msgspec.Struct, frozen=True):
    """A missing range of time (half-open), and its number of intervals of the view's schedule."""

    start: datetime
    end: datetime
    intervals: int


class Cost(msgspec.Struct, frozen=True):
    """The cost of a run of one interval: `low` to `high` of a `unit`.

    The unit is `rows` (that its SQL returns) or `bytes` (that it reads). The basis is `earlier
    runs` or the warehouse's `estimate`.
    """

    low: int
    high: int
    unit: str
    basis: str


class Computation(msgspec.Struct, frozen=True):
    """The way in which a view's SQL is computed.

    Attributes:
        way: `row by row`, `interval by interval`, or `as a whole` for a static view.
        construct: The part of the SQL that makes it interval by interval; empty for other ways.
        place: The location of that part (`file:line`); empty for other ways.
        statements: The number of statements that evaluate the SQL for all missing intervals.
    """

    way: str
    construct: str
    place: str
    statements: int


class Forecast(msgspec.Struct, frozen=True):
    """The missing intervals of one view, and the time when an example event becomes visible.

    An event at `event` is visible from `visible_at` on.
    """

    view: str
    fingerprint: str
    missing: tuple[Gap, ...]
    event: datetime
    visible_at: datetime
    costs: tuple[Cost, ...] = ()
    computation: Computation | None = None

    @property
    def intervals(self) -> int:
        """The number of missing intervals."""
        return sum(gap.intervals for gap in self.missing)


Covered = Callable[[str, str], Sequence[Interval]]
"""Returns the computed ranges of a version: (view, fingerprint) -> intervals."""


def forecast(manifest: Manifest, covered: Covered, now: datetime) -> tuple[Forecast, ...]:
    """Forecast every view at `now`.

    The example event is in the middle of the newest due interval.
    """
    forecasts = []
    for view in manifest.views:
        times = timing(view)
        due = times.due(now)
        gaps = subtract(due, list(covered(view.name, view.fingerprint))) if due else []
        event = (due.end if due else view.start) - view.schedule / 2
        forecasts.append(
            Forecast(
                view.name,
                view.fingerprint,
                tuple(Gap(gap.start, gap.end, gap.count(view.schedule)) for gap in gaps),
                event,
                times.visible(event),
                computation=computation(manifest, view, gaps),
            )
        )
    return tuple(forecasts)


def computation(manifest: Manifest, view: ViewSpec, missing: Sequence[Interval]) -> Computation:
    """Return how a view is computed, and in how many statements for the missing ranges."""
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
        # A run splits a long range: each piece has its own statement.
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
    """Return a `Covered` of the ledger's intervals by (`schema.view`, fingerprint)."""
    return lambda view, fingerprint: publications.get((f"{schema}.{view}", fingerprint), ())
