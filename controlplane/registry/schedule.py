"""The time algebra of a view: which intervals are due, what each reads, how far a change reaches.

Letters as in the docs: S schedule, I tile, W window, O offset, D delay. Pure arithmetic on the epoch grid.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from controlplane.registry.manifest import ViewSpec
from controlplane.types import Interval, ceil, floor


class Timing(msgspec.Struct, frozen=True):
    """The time knobs that say when a view's intervals are computed."""

    schedule: timedelta
    delay: timedelta
    start: datetime
    end: datetime | None

    def due(self, now: datetime) -> Interval | None:
        """All intervals that can be computed at `now`, as one stretch; None if there is none yet.

        An interval can be computed at its end + D, and only if it begins before `end`.
        """
        last = floor(now - self.delay, self.schedule)
        if self.end is not None:
            last = min(last, ceil(self.end, self.schedule))
        return Interval(self.start, last) if self.start < last else None

    def inside(self, part: Interval, due: Interval) -> Interval | None:
        """The whole intervals of `due` that lie inside `part`; None if there is none."""
        start, end = max(ceil(part.start, self.schedule), due.start), min(floor(part.end, self.schedule), due.end)
        return Interval(start, end) if start < end else None

    def visible(self, event: datetime) -> datetime:
        """When a row with this event time can first be served (its effective time): floor(ts, S) + S + D."""
        return floor(event, self.schedule) + self.schedule + self.delay

    def computed_through(self, instant: datetime) -> datetime:
        """The end of the last interval whose values are visible at `instant`: floor(t - D, S)."""
        return floor(instant - self.delay, self.schedule)


def timing(view: ViewSpec) -> Timing:
    """The timing of a view."""
    return Timing(view.schedule, view.delay, view.start, view.end)


def depth(view: ViewSpec) -> timedelta:
    """How far back from its end the farthest window of the view begins: the largest W - O, zero without one."""
    return max((a.window - a.offset for a in view.aggregates), default=timedelta(0))


def read_start(view: ViewSpec) -> datetime:
    """Where the first interval begins to read: its windows at `start` + S must be complete."""
    return min(view.start, view.start + view.schedule - depth(view))


def reach(view: ViewSpec) -> timedelta:
    """How long after an interval's end its rows can still change values.

    A tile leaves its farthest window at most depth + S after its end. A row feature beside aggregates reaches no
    farther: every later change point comes from a newer tile, which has a last row of its own.
    """
    return depth(view) + view.schedule if view.aggregates else timedelta(0)
