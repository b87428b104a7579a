"""Compute which intervals of a view are due, what each reads, and how far a change reaches.

Letters as in the docs: S schedule, I tile, W window, O offset, D delay. Pure arithmetic on the
view's grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from controlplane.base.types import Interval, ceil, floor
from controlplane.manifest.specs import AggregateSpec, BatchViewSpec, StaticViewSpec, ViewSpec
from controlplane.manifest.windows import (
    CalendarWindow,
    LifetimeWindow,
    SeriesWindow,
    SlidingWindow,
)

LONGEST_PERIOD = {"day": timedelta(days=2), "week": timedelta(days=8), "month": timedelta(days=32)}
"""Upper bounds of calendar periods, whatever changes of clocks a zone has."""
LONGEST_RUN = timedelta(days=92)
"""The longest range that one run computes at once; it bounds the memory and the time of a run."""


class Timing(msgspec.Struct, frozen=True):
    """The settings that decide when a view's intervals are computed.

    The grid begins `phase` after the epoch.
    """

    schedule: timedelta
    delay: timedelta
    start: datetime
    end: datetime | None
    phase: timedelta = timedelta(0)

    def floor(self, instant: datetime) -> datetime:
        """Return the last point of the grid at or before `instant`."""
        return floor(instant, self.schedule, self.phase)

    def ceil(self, instant: datetime) -> datetime:
        """Return the first point of the grid at or after `instant`."""
        return ceil(instant, self.schedule, self.phase)

    @property
    def last(self) -> datetime | None:
        """Return the end of the last interval; None if the view has no end."""
        # An interval that begins before `end` is computed as a whole, so it may end after it.
        return None if self.end is None else self.ceil(self.end)

    def due(self, now: datetime) -> Interval | None:
        """Return all intervals that can be computed at `now`, as one range; None if none can.

        An interval can be computed at its end + D, and only if it begins before `end`.
        """
        through = self.computed_through(now)
        if self.last is not None:
            through = min(through, self.last)
        return Interval(self.start, through) if self.start < through else None

    def inside(self, part: Interval, due: Interval) -> Interval | None:
        """Return the whole intervals of `due` inside `part`; None if there is none."""
        start, end = max(self.ceil(part.start), due.start), min(self.floor(part.end), due.end)
        return Interval(start, end) if start < end else None

    def pieces(self, gap: Interval) -> Iterator[Interval]:
        """Split a range of whole intervals into pieces for runs, of at most `LONGEST_RUN`."""
        # Whole intervals only: a piece must end on the grid.
        return gap.split(LONGEST_RUN // self.schedule * self.schedule)

    def visible(self, event: datetime) -> datetime:
        """Return the effective time of a row, when it can first be served: floor(ts, S) + S + D."""
        return self.floor(event) + self.schedule + self.delay

    def computed_through(self, instant: datetime) -> datetime:
        """Return the end of the last interval that is visible at `instant`: floor(t - D, S)."""
        return self.floor(instant - self.delay)


def timing(view: ViewSpec) -> Timing:
    """Return the timing of a view."""
    return Timing(view.schedule, view.delay, view.start, view.end, view.phase)


def span(aggregate: AggregateSpec) -> timedelta:
    """Return how long before the end of an interval a window may begin, with its offset.

    Zero for a lifetime; an upper bound for a calendar window.
    """
    match aggregate.window:
        case SlidingWindow(length):
            unshifted = length
        case SeriesWindow(length, step, steps):
            unshifted = length + (steps - 1) * step
        case CalendarWindow(unit, _, count, ago):
            unshifted = (count + ago) * LONGEST_PERIOD[unit]
        case LifetimeWindow():
            unshifted = timedelta(0)
        case never:
            assert_never(never)
    return unshifted - aggregate.offset


def tile_length(view: ViewSpec) -> timedelta:
    """Return the length of a view's tiles; those of a static view are as long as its schedule."""
    match view:
        case BatchViewSpec():
            return view.tile
        case StaticViewSpec():
            return view.schedule
        case never:
            assert_never(never)


def endless(view: ViewSpec) -> bool:
    """Tell whether a change affects all later values: one of the windows is a lifetime."""
    return any(isinstance(a.window, LifetimeWindow) for a in view.aggregates)


def depth(view: ViewSpec) -> timedelta:
    """Return the greatest span of the view's windows, except lifetimes.

    Zero without windows.
    """
    return max(map(span, view.aggregates), default=timedelta(0))


def read_start(view: ViewSpec) -> datetime:
    """Return where the first interval begins to read.

    Its windows at `start` + S must be complete; a lifetime begins at the view's start.
    """
    return min(view.start, view.start + view.schedule - depth(view))


def reach(view: ViewSpec) -> timedelta:
    """Return how long after an interval's end its rows can change values, except lifetimes.

    A tile leaves its longest window at most depth + S after its end. Row features of a view with
    aggregates reach no farther: every later change point comes from a newer tile, which has a last
    row of its own.
    """
    return depth(view) + view.schedule if view.aggregates else timedelta(0)
