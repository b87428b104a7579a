"""The time algebra of a view: which intervals are due, what each reads, how far a change reaches.

Letters as in the docs: S schedule, I tile, W window, O offset, D delay. Pure arithmetic on the epoch grid.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from controlplane.registry.manifest import ViewSpec
from controlplane.types import Interval, ceil, floor


def due(view: ViewSpec, now: datetime) -> Interval | None:
    """All intervals of the view that can be computed at `now`, as one stretch; None if there is none yet.

    An interval can be computed at its end + D, and only if it begins before the view's `end`.
    """
    last = floor(now - view.delay, view.schedule)
    if view.end is not None:
        last = min(last, ceil(view.end, view.schedule))
    return Interval(view.start, last) if view.start < last else None


def aligned(view: ViewSpec, interval: Interval) -> Interval:
    """The smallest stretch of whole intervals of the view that holds `interval`."""
    return Interval(floor(interval.start, view.schedule), ceil(interval.end, view.schedule))


def depth(view: ViewSpec) -> timedelta:
    """How far back from its end the farthest window of the view begins: the largest W - O, zero without one."""
    return max((a.window - a.offset for a in view.aggregates), default=timedelta(0))


def read_start(view: ViewSpec) -> datetime:
    """Where the first interval begins to read: its windows at `start` + S must be complete."""
    return min(view.start, view.start + view.schedule - depth(view))


def reach(view: ViewSpec) -> timedelta | None:
    """How long after an interval's end its rows can still change values; None: for ever.

    A tile leaves its farthest window at most depth + S after its end. A row feature beside aggregates is repeated at
    each of their change points, however late.
    """
    if view.attributes:
        return None if view.aggregates else timedelta(0)
    return depth(view) + view.schedule


def visible(view: ViewSpec, event: datetime) -> datetime:
    """When a row with this event time first changes what can be served (its effective time): floor(ts, S) + S + D."""
    return floor(event, view.schedule) + view.schedule + view.delay


def computed_through(view: ViewSpec, instant: datetime) -> datetime:
    """The end of the last interval whose values are visible at `instant`: floor(t - D, S)."""
    return floor(instant - view.delay, view.schedule)
