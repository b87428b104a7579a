"""The rules of a view's time grid.

Nothing is rounded: a value that does not fit is refused, and the hint names values that fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.base.types import EPOCH, ceil, floor, format_duration, format_instant
from controlplane.compile.problems import Collector
from controlplane.definitions import Aggregate, BatchFeatureView

DAY = timedelta(days=1)
_COMMON = "1m, 5m, 10m, 15m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h, 1d or 7d"


@dataclass(frozen=True)
class Grid:
    """The checked time settings of a view: schedule S, tile I, and the range of time it covers."""

    schedule: timedelta
    tile: timedelta
    start: datetime
    end: datetime | None
    ttl: timedelta | None
    lateness: timedelta
    phase: timedelta


def check_grid(view: BatchFeatureView, subject: str, collector: Collector) -> Grid | None:
    """Return the grid of the view; None after problems were noted."""
    location = view.location
    before = len(collector.problems)
    schedule = collector.duration(f"{subject}, schedule", view.schedule, location)
    start = collector.instant(f"{subject}, start", view.start, location)
    end = collector.instant(f"{subject}, end", view.end, location) if view.end is not None else None
    ttl = (
        collector.duration(f"{subject}, ttl", view.ttl, location) if view.ttl is not None else None
    )
    lateness = collector.duration(f"{subject}, lateness", view.lateness, location)
    phase = collector.duration(f"{subject}, phase", view.phase, location)
    tile = schedule
    if view.aggregation_interval is not None:
        tile = collector.duration(
            f"{subject}, aggregation_interval", view.aggregation_interval, location
        )
    if (
        schedule is None
        or tile is None
        or start is None
        or lateness is None
        or phase is None
        or len(collector.problems) > before
    ):
        return None
    # Divisors of a day have the same points every day.
    if not (schedule and (DAY % schedule == timedelta(0) or schedule == 7 * DAY)):
        text = f"{subject}: schedule {format_duration(schedule)} does not divide a day"
        collector.add(text, location, f"use a divisor of a day, such as {_COMMON}")
        return None
    if not tile or schedule % tile:
        text = (
            f"{subject}: aggregation_interval {format_duration(tile)} does not divide its schedule"
        )
        collector.add(text, location, f"use {format_duration(schedule)} or a divisor of it")
        return None
    if phase >= schedule:
        text = (
            f"{subject}: phase {format_duration(phase)} is not below its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(
            text, location, f"use {format_duration(phase % schedule)}: it gives the same grid"
        )
    origin = format_instant(EPOCH + phase)
    for name, instant in (("start", start), ("end", end)):
        if instant is not None and instant != floor(instant, schedule, phase):
            points = [format_instant(edge(instant, schedule, phase)) for edge in (floor, ceil)]
            text = (
                f"{subject}: {name} {format_instant(instant)} is not on the grid of its schedule,"
                f" which is aligned to {origin.removesuffix('T00:00:00Z')}"
            )
            collector.add(text, location, f"use {' or '.join(points)}")
    if end is not None and end <= start:
        collector.add(f"{subject}: end is not after start", location, "correct one of them")
    if lateness % schedule:
        near = format_duration(ceil_duration(lateness, schedule))
        text = (
            f"{subject}: lateness {view.lateness} is not a multiple of its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(text, location, f"use {near}")
    _check_ttl(view, subject, ttl, schedule, collector)
    return (
        Grid(schedule, tile, start, end, ttl, lateness, phase)
        if len(collector.problems) == before
        else None
    )


def _check_ttl(
    view: BatchFeatureView,
    subject: str,
    ttl: timedelta | None,
    schedule: timedelta,
    collector: Collector,
) -> None:
    if ttl is None:
        return
    if any(isinstance(feature, Aggregate) for feature in view.features):
        hint = (
            "remove ttl: windows already expire; or move the row features into a view of their own"
        )
        collector.add(f"{subject}: a view with aggregates can't have a ttl", view.location, hint)
    if ttl < schedule or ttl % schedule:
        # Values change only at points of the grid, so they can expire only there.
        up = ceil_duration(ttl, schedule)
        text = (
            f"{subject}: ttl {format_duration(ttl)} is not a multiple of its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(text, view.location, f"use {format_duration(up)} or another multiple")


def ceil_duration(duration: timedelta, step: timedelta) -> timedelta:
    """Return the smallest positive multiple of `step` that is at least `duration`."""
    return max(-(-duration // step), 1) * step
