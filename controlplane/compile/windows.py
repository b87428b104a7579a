"""The windows of aggregates, checked against the view's grid.

A window is a length, a lifetime, a series or a period of a calendar.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controlplane.base.types import EPOCH, LONGEST_DURATION, floor, format_duration, is_whole
from controlplane.compile.grid import Grid, ceil_duration
from controlplane.compile.problems import Collector, listing
from controlplane.definitions import Aggregate, Calendar, Series
from controlplane.definitions.windows import LIFETIME
from controlplane.manifest.timing import LONGEST_PERIOD
from controlplane.manifest.windows import (
    LAST_YEAR,
    CalendarWindow,
    LifetimeWindow,
    SeriesWindow,
    SlidingWindow,
    Window,
    ZoneSpec,
)

MOST_STEPS = 366
"""The most windows of a series."""
_MOST_PERIODS = 1000
_FINEST = timedelta(minutes=1)


def compile_windows(
    feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> list[tuple[str, Window]]:
    """Return the valid windows, each with its part of a feature's name; note what is wrong."""
    labelled: list[tuple[str, Window]] = []
    if isinstance(feature.windows, str) or not feature.windows:
        collector.add(
            f"{subject} has no list of windows", feature.location, 'give windows=["1h", "1d"]'
        )
        return []
    for window in feature.windows:
        if isinstance(window, Series):
            compiled = _series(window, feature, subject, grid, collector)
        elif isinstance(window, Calendar):
            compiled = _calendar(window, feature, subject, grid, collector)
        elif window == LIFETIME:
            compiled = (LIFETIME, LifetimeWindow())
        else:
            length = _length(window, "window", feature, subject, grid, collector)
            compiled = (window.replace(" ", ""), SlidingWindow(length)) if length else None
        if compiled is not None:
            labelled.append(compiled)
    return labelled


def compile_offset(
    feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> timedelta | None:
    """Return the offset, zero or negative; None after a problem was noted."""
    offset = collector.signed_duration(f"{subject}, offset", feature.offset, feature.location)
    if offset is None:
        return None
    if offset > timedelta(0):
        text = f"{subject}: offset {feature.offset} would look into the future"
        collector.add(text, feature.location, f"use -{feature.offset}")
        return None
    # Periods differ in length, so an offset would not move a window by a whole period.
    if offset and any(isinstance(window, Calendar) for window in feature.windows):
        collector.add(
            f"{subject}: a calendar window can't have an offset",
            feature.location,
            "use Calendar(..., ago=1)",
        )
        return None
    # Windows are put together from whole tiles, so they must end where a tile ends.
    if offset % grid.tile:
        near = format_duration(ceil_duration(-offset, grid.tile))
        text = (
            f"{subject}: offset {feature.offset} is not a multiple of the tile"
            f" {format_duration(grid.tile)}"
        )
        collector.add(text, feature.location, f"use -{near}")
        return None
    return offset


def _length(
    text: str, name: str, feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> timedelta | None:
    length = collector.duration(f"{subject}, {name}", text, feature.location)
    if length is None:
        return None
    # As with offsets: a window consists of whole tiles.
    if length < grid.tile or length % grid.tile:
        up = ceil_duration(length, grid.tile)
        near = sorted({max(up - grid.tile, grid.tile), up})
        problem = (
            f"{subject}: {name} {text} is not a multiple of the tile {format_duration(grid.tile)}"
        )
        hint = (
            f"use {' or '.join(format_duration(n) for n in near)}, or set aggregation_interval to a"
            " divisor"
        )
        collector.add(problem, feature.location, hint)
        return None
    return length


def _series(
    series: Series, feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> tuple[str, Window] | None:
    length = _length(series.window, "window of a series", feature, subject, grid, collector)
    step = length
    if series.step is not None:
        step = _length(series.step, "step of a series", feature, subject, grid, collector)
    if not is_whole(series.steps, 2, MOST_STEPS):
        text = f"{subject}: a series of {series.steps!r} steps"
        collector.add(text, feature.location, f"give steps=, a whole number from 2 to {MOST_STEPS}")
        return None
    if length is None or step is None:
        return None
    if length + (series.steps - 1) * step > LONGEST_DURATION:
        text = f"{subject}: a series of {series.steps} steps of {format_duration(step)} is too long"
        collector.add(
            text,
            feature.location,
            f"use at most {format_duration(LONGEST_DURATION)} in all",
        )
        return None
    label = f"{series.window.replace(' ', '')}_x{series.steps}"
    label += (
        f"_every_{series.step.replace(' ', '')}"
        if series.step is not None and step != length
        else ""
    )
    return label, SeriesWindow(length, step, series.steps)


def _calendar(
    calendar: Calendar, feature: Aggregate, subject: str, grid: Grid, collector: Collector
) -> tuple[str, Window] | None:
    problem = _calendar_problem(calendar, grid)
    if problem is not None:
        collector.add(f"{subject}: {problem[0]}", feature.location, problem[1])
        return None
    several = str(calendar.count) if calendar.count > 1 else ""
    label = f"{several}{calendar.unit}" + (f"_ago_{calendar.ago}" if calendar.ago else "")
    return label, CalendarWindow(calendar.unit, calendar.zone, calendar.count, calendar.ago)


def _calendar_problem(calendar: Calendar, grid: Grid) -> tuple[str, str] | None:
    """Return what is wrong and what to do about it; None if nothing is."""
    if calendar.unit not in LONGEST_PERIOD:
        return (
            f"a calendar has no unit {calendar.unit!r}",
            f"choose from: {listing(LONGEST_PERIOD)}",
        )
    whole = is_whole(calendar.count, 1, _MOST_PERIODS) and is_whole(calendar.ago, 0, _MOST_PERIODS)
    if not whole or (calendar.count > 1 and not calendar.ago):
        text = f"a calendar window of count={calendar.count!r}, ago={calendar.ago!r}"
        hint = (
            "several periods must have ended: give ago=1 or more, or count=1 for the current period"
        )
        return text, hint
    try:
        spec = zone_spec(calendar.zone)
    except ValueError as error:
        return str(error), "use an IANA name, such as UTC or America/New_York"
    if grid.start.year >= LAST_YEAR:
        return f"calendars are known until {LAST_YEAR}", "begin earlier"
    odd = _off_grid(spec, calendar.unit, grid)
    if odd is not None:
        text = f"a {calendar.unit} in {calendar.zone} begins at {odd:%H:%M} UTC, inside a tile of"
        return f"{text} {format_duration(grid.tile)}", _finer_tile(spec, calendar.unit, grid)
    return None


@lru_cache
def zone_spec(name: str) -> ZoneSpec:
    """Return the offsets of a zone from 1900 on.

    Raises:
        ValueError: there is no such zone.
    """
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone") from None

    def offset(instant: datetime) -> timedelta:
        return instant.astimezone(zone).utcoffset() or timedelta(0)

    start, end = datetime(1900, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    offsets = [(start, offset(start))]
    # `ZoneInfo` does not list its changes, so offsets a week apart are compared (no zone has
    # changed its clocks forth and back within one), and a change is found by bisection.
    step = timedelta(days=7)
    while start < end:
        if offset(start + step) != offsets[-1][1]:
            low, high = start, start + step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if offset(middle) == offsets[-1][1] else (low, middle)
            changed = high.replace(microsecond=0)
            offsets.append((changed, offset(changed)))
        start += step
    return ZoneSpec(name, tuple(offsets))


def starts(spec: ZoneSpec, unit: str, first: date, last: date) -> list[datetime]:
    """Return where periods begin: the first instant of each first day from `first` to `last`.

    The days are those of the zone's own calendar.
    """
    untils = [*(since for since, _ in spec.offsets[1:]), datetime.max.replace(tzinfo=UTC)]
    instants: list[datetime] = []
    index = 0
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if (unit == "week" and day.weekday()) or (unit == "month" and day.day > 1):
            continue
        local = datetime(day.year, day.month, day.day, tzinfo=UTC)
        index = max(index - 1, 0)
        while max(spec.offsets[index][0], local - spec.offsets[index][1]) >= untils[index]:
            index += 1
        instants.append(max(spec.offsets[index][0], local - spec.offsets[index][1]))
    return instants


def trimmed(spec: ZoneSpec, since: datetime) -> ZoneSpec:
    """Return the zone without the offsets that ended before `since`."""
    over = sum(1 for changed, _ in spec.offsets[1:] if changed <= since)
    return ZoneSpec(spec.name, spec.offsets[over:])


def _off_grid(spec: ZoneSpec, unit: str, grid: Grid) -> datetime | None:
    """Return where a period begins inside a tile; None if all begin where a tile begins."""
    # The windows of the first intervals reach back before the start.
    since = grid.start - timedelta(days=400)
    off = [
        (first, last)
        for first, last in _moments_of_the_week(spec.name, unit, since.year)
        if last >= since and floor(first, grid.tile, grid.phase) != first
    ]
    return min(off)[0] if off else None


@lru_cache
def _moments_of_the_week(zone: str, unit: str, year: int) -> Sequence[tuple[datetime, datetime]]:
    """Return the first and the last period for each moment of the week at which periods begin.

    Every tile divides a week, so these few instants decide for all periods from `year` on.
    """
    moments: dict[timedelta, tuple[datetime, datetime]] = {}
    for instant in starts(zone_spec(zone), unit, date(year, 1, 1), date(LAST_YEAR - 1, 12, 31)):
        moment = (instant - EPOCH) % timedelta(days=7)
        moments[moment] = (moments[moment][0] if moment in moments else instant, instant)
    return tuple(moments.values())


def _finer_tile(spec: ZoneSpec, unit: str, grid: Grid) -> str:
    for tile in (
        # From long to short: longer tiles mean fewer rows to read.
        timedelta(hours=12),
        timedelta(hours=1),
        timedelta(minutes=30),
        timedelta(minutes=15),
        _FINEST,
    ):
        finer = Grid(grid.schedule, tile, grid.start, grid.end, grid.ttl, grid.lateness, grid.phase)
        if (
            grid.schedule % tile == timedelta(0)
            and tile < grid.tile
            and _off_grid(spec, unit, finer) is None
        ):
            return f"set aggregation_interval={format_duration(tile)!r}"
    return f"use UTC, or a schedule and a phase that meet the days of {spec.name}"
