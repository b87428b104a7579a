"""The time algebra of a view: which intervals are due, what each reads, how far a change reaches.

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
"""What no period of a calendar exceeds, whatever the clocks of its zone do."""


LONGEST_RUN = timedelta(days=92)
"""The longest range that one run computes at once; it bounds the memory and the time of a run."""


class Timing(msgspec.Struct, frozen=True):
    """The time knobs that say when a view's intervals are computed.

    The grid begins `phase` after the epoch.
    """

    schedule: timedelta
    delay: timedelta
    start: datetime
    end: datetime | None
    phase: timedelta = timedelta(0)

    def floor(self, instant: datetime) -> datetime:
        """The last point of the grid at or before `instant`."""
        return floor(instant, self.schedule, self.phase)

    def ceil(self, instant: datetime) -> datetime:
        """The first point of the grid at or after `instant`."""
        return ceil(instant, self.schedule, self.phase)

    @property
    def last(self) -> datetime | None:
        """Where the last interval ends that is ever computed; None where there is no end."""
        return None if self.end is None else self.ceil(self.end)

    def due(self, now: datetime) -> Interval | None:
        """All intervals that can be computed at `now`, as one stretch; None if there is none yet.

        An interval can be computed at its end + D, and only if it begins before `end`.
        """
        through = self.computed_through(now)
        if self.last is not None:
            through = min(through, self.last)
        return Interval(self.start, through) if self.start < through else None

    def inside(self, part: Interval, due: Interval) -> Interval | None:
        """The whole intervals of `due` that lie inside `part`; None if there is none."""
        start, end = max(self.ceil(part.start), due.start), min(self.floor(part.end), due.end)
        return Interval(start, end) if start < end else None

    def pieces(self, gap: Interval) -> Iterator[Interval]:
        """A range of whole intervals in the pieces that runs compute, none longer than
        `LONGEST_RUN`."""
        return gap.split(LONGEST_RUN // self.schedule * self.schedule)

    def visible(self, event: datetime) -> datetime:
        """When a row with this event time can first be served (its effective time): floor(ts, S) +
        S + D."""
        return self.floor(event) + self.schedule + self.delay

    def computed_through(self, instant: datetime) -> datetime:
        """The end of the last interval whose values are visible at `instant`: floor(t - D, S)."""
        return self.floor(instant - self.delay)


def timing(view: ViewSpec) -> Timing:
    """The timing of a view."""
    return Timing(view.schedule, view.delay, view.start, view.end, view.phase)


def span(aggregate: AggregateSpec) -> timedelta:
    """How far before the end of an interval its window may begin, offset included.

    Zero for a lifetime.

    Of a calendar window it is an upper bound.
    """
    match aggregate.window:
        case SlidingWindow(length):
            length_of_window = length
        case SeriesWindow(length, step, steps):
            length_of_window = length + (steps - 1) * step
        case CalendarWindow(unit, _, count, ago):
            length_of_window = (count + ago) * LONGEST_PERIOD[unit]
        case LifetimeWindow():
            length_of_window = timedelta(0)
        case never:
            assert_never(never)
    return length_of_window - aggregate.offset


def tile_length(view: ViewSpec) -> timedelta:
    """How long the view's tiles are: all rows of a static view lie in one tile, as long as its
    schedule."""
    match view:
        case BatchViewSpec():
            return view.tile
        case StaticViewSpec():
            return view.schedule
        case never:
            assert_never(never)


def endless(view: ViewSpec) -> bool:
    """Whether a change changes all that follows: one of its windows is a lifetime."""
    return any(isinstance(a.window, LifetimeWindow) for a in view.aggregates)


def depth(view: ViewSpec) -> timedelta:
    """How far back from its end the farthest window of the view begins, lifetimes aside.

    Zero without one.
    """
    return max(map(span, view.aggregates), default=timedelta(0))


def read_start(view: ViewSpec) -> datetime:
    """Where the first interval begins to read: its windows at `start` + S must be complete.

    A lifetime begins at the view's start.
    """
    return min(view.start, view.start + view.schedule - depth(view))


def reach(view: ViewSpec) -> timedelta:
    """How long after an interval's end its rows can still change values, lifetimes aside.

    A tile leaves its farthest window at most depth + S after its end. A row feature beside
    aggregates reaches no
    farther: every later change point comes from a newer tile, which has a last row of its own.
    """
    return depth(view) + view.schedule if view.aggregates else timedelta(0)
