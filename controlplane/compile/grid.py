"""The rules of a view's time grid.

Nothing is ever widened: what does not fit is refused, with values that would.
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
    """The checked time knobs of a view: schedule S, tile I, and the stretch of time it covers."""

    schedule: timedelta
    tile: timedelta
    start: datetime
    end: datetime | None
    ttl: timedelta | None
    lateness: timedelta
    phase: timedelta


def check_grid(view: BatchFeatureView, what: str, collector: Collector) -> Grid | None:
    """The grid of the view, or None after problems were noted."""
    where = view.location
    before = len(collector.found)
    schedule = collector.duration(f"{what}, schedule", view.schedule, where)
    start = collector.instant(f"{what}, start", view.start, where)
    end = collector.instant(f"{what}, end", view.end, where) if view.end is not None else None
    ttl = collector.duration(f"{what}, ttl", view.ttl, where) if view.ttl is not None else None
    lateness = collector.duration(f"{what}, lateness", view.lateness, where)
    phase = collector.duration(f"{what}, phase", view.phase, where)
    tile = schedule
    if view.aggregation_interval is not None:
        tile = collector.duration(f"{what}, aggregation_interval", view.aggregation_interval, where)
    if (
        schedule is None
        or tile is None
        or start is None
        or lateness is None
        or phase is None
        or len(collector.found) > before
    ):
        return None
    if not (schedule and (DAY % schedule == timedelta(0) or schedule == 7 * DAY)):
        text = f"{what}: schedule {format_duration(schedule)} does not divide a day"
        collector.add(text, where, f"use a divisor of a day, such as {_COMMON}")
        return None
    if not tile or schedule % tile:
        text = f"{what}: aggregation_interval {format_duration(tile)} does not divide its schedule"
        collector.add(text, where, f"use {format_duration(schedule)} or a divisor of it")
        return None
    if phase >= schedule:
        text = (
            f"{what}: phase {format_duration(phase)} is not below its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(
            text, where, f"use {format_duration(phase % schedule)}: it gives the same grid"
        )
    origin = format_instant(EPOCH + phase)
    for name, instant in (("start", start), ("end", end)):
        if instant is not None and instant != floor(instant, schedule, phase):
            points = [format_instant(edge(instant, schedule, phase)) for edge in (floor, ceil)]
            text = (
                f"{what}: {name} {format_instant(instant)} is not on the grid of its schedule,"
                " which is aligned"
            )
            collector.add(
                f"{text} to {origin.removesuffix('T00:00:00Z')}",
                where,
                f"use {' or '.join(points)}",
            )
    if end is not None and end <= start:
        collector.add(f"{what}: end is not after start", where, "correct one of them")
    if lateness % schedule:
        near = format_duration(ceil_duration(lateness, schedule))
        text = (
            f"{what}: lateness {view.lateness} is not a multiple of its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(text, where, f"use {near}")
    _check_ttl(view, what, ttl, schedule, collector)
    return (
        Grid(schedule, tile, start, end, ttl, lateness, phase)
        if len(collector.found) == before
        else None
    )


def _check_ttl(
    view: BatchFeatureView,
    what: str,
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
        collector.add(f"{what}: a view with aggregates can't have a ttl", view.location, hint)
    if ttl < schedule or ttl % schedule:
        up = ceil_duration(ttl, schedule)
        text = (
            f"{what}: ttl {format_duration(ttl)} is not a multiple of its schedule"
            f" {format_duration(schedule)}"
        )
        collector.add(text, view.location, f"use {format_duration(up)} or another multiple")


def ceil_duration(duration: timedelta, step: timedelta) -> timedelta:
    """The smallest positive multiple of `step` that is at least `duration`."""
    return max(-(-duration // step), 1) * step
