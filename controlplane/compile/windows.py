"""The windows of aggregates: lengths, lifetimes, series and periods of a calendar, checked against
the view's grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controlplane.base.types import EPOCH, LONGEST_DURATION, floor, format_duration, parse_duration
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
    feature: Aggregate, place: str, grid: Grid, collector: Collector
) -> list[tuple[str, Window]]:
    """The windows that are right, each with what a feature's name says of it.

    What is wrong is noted.
    """
    found: list[tuple[str, Window]] = []
    if isinstance(feature.windows, str) or not feature.windows:
        collector.add(
            f"{place} has no list of windows", feature.location, 'give windows=["1h", "1d"]'
        )
        return []
    for window in feature.windows:
        if isinstance(window, Series):
            compiled = _series(window, feature, place, grid, collector)
        elif isinstance(window, Calendar):
            compiled = _calendar(window, feature, place, grid, collector)
        elif window == LIFETIME:
            compiled = (LIFETIME, LifetimeWindow())
        else:
            length = _length(window, "window", feature, place, grid, collector)
            compiled = (window.replace(" ", ""), SlidingWindow(length)) if length else None
        if compiled is not None:
            found.append(compiled)
    return found


def compile_offset(
    feature: Aggregate, place: str, grid: Grid, collector: Collector
) -> timedelta | None:
    """The offset, zero or negative; None after a problem was noted."""

    def parse(text: str) -> timedelta:
        return -parse_duration(text.removeprefix("-"))

    offset = collector.parsed(f"{place}, offset", parse, feature.offset, feature.location)
    if offset is None:
        return None
    if offset and not feature.offset.strip().startswith("-"):
        text = f"{place}: offset {feature.offset} would look into the future"
        collector.add(text, feature.location, f"use -{feature.offset}")
        return None
    if offset and any(isinstance(window, Calendar) for window in feature.windows):
        collector.add(
            f"{place}: a calendar window can't have an offset",
            feature.location,
            "use Calendar(..., ago=1)",
        )
        return None
    if offset % grid.tile:
        near = format_duration(ceil_duration(-offset, grid.tile))
        text = (
            f"{place}: offset {feature.offset} is not a multiple of the tile"
            f" {format_duration(grid.tile)}"
        )
        collector.add(text, feature.location, f"use -{near}")
        return None
    return offset


def _length(
    text: str, what: str, feature: Aggregate, place: str, grid: Grid, collector: Collector
) -> timedelta | None:
    length = collector.duration(f"{place}, {what}", text, feature.location)
    if length is None:
        return None
    if length < grid.tile or length % grid.tile:
        up = ceil_duration(length, grid.tile)
        near = sorted({max(up - grid.tile, grid.tile), up})
        problem = (
            f"{place}: {what} {text} is not a multiple of the tile {format_duration(grid.tile)}"
        )
        hint = (
            f"use {' or '.join(format_duration(n) for n in near)}, or set aggregation_interval to a"
            " divisor"
        )
        collector.add(problem, feature.location, hint)
        return None
    return length


def _series(
    series: Series, feature: Aggregate, place: str, grid: Grid, collector: Collector
) -> tuple[str, Window] | None:
    length = _length(series.window, "window of a series", feature, place, grid, collector)
    step = length
    if series.step is not None:
        step = _length(series.step, "step of a series", feature, place, grid, collector)
    if type(series.steps) is not int or not 2 <= series.steps <= MOST_STEPS:
        text = f"{place}: a series of {series.steps!r} steps"
        collector.add(text, feature.location, f"give steps=, a whole number from 2 to {MOST_STEPS}")
        return None
    if length is None or step is None:
        return None
    if length + (series.steps - 1) * step > LONGEST_DURATION:
        text = f"{place}: a series of {series.steps} steps of {format_duration(step)} is too long"
        collector.add(
            text,
            feature.location,
            f"let it be at most {format_duration(LONGEST_DURATION)} altogether",
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
    calendar: Calendar, feature: Aggregate, place: str, grid: Grid, collector: Collector
) -> tuple[str, Window] | None:
    problem = _calendar_problem(calendar, grid)
    if problem is not None:
        collector.add(f"{place}: {problem[0]}", feature.location, problem[1])
        return None
    several = str(calendar.count) if calendar.count > 1 else ""
    label = f"{several}{calendar.unit}" + (f"_ago_{calendar.ago}" if calendar.ago else "")
    return label, CalendarWindow(calendar.unit, calendar.zone, calendar.count, calendar.ago)


def _calendar_problem(calendar: Calendar, grid: Grid) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    if calendar.unit not in LONGEST_PERIOD:
        return (
            f"a calendar has no unit {calendar.unit!r}",
            f"choose from: {listing(LONGEST_PERIOD)}",
        )
    whole = all(
        type(number) is int and 0 <= number <= _MOST_PERIODS
        for number in (calendar.count, calendar.ago)
    )
    if not whole or calendar.count < 1 or (calendar.count > 1 and not calendar.ago):
        text = f"a calendar window of count={calendar.count!r}, ago={calendar.ago!r}"
        return (
            text,
            (
                "several periods must be over: give ago=1 or more, or count=1 for the one that has"
                " begun"
            ),
        )
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
    """The offsets of a zone from 1900 on.

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
    found = [(start, offset(start))]
    step = timedelta(days=7)  # no zone has changed its clocks there and back within a week
    while start < end:
        if offset(start + step) != found[-1][1]:
            low, high = start, start + step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if offset(middle) == found[-1][1] else (low, middle)
            changed = high.replace(microsecond=0)
            found.append((changed, offset(changed)))
        start += step
    return ZoneSpec(name, tuple(found))


def starts(spec: ZoneSpec, unit: str, first: date, last: date) -> list[datetime]:
    """Where the periods begin whose local first day lies from `first` to `last`: the first instant
    of that day."""
    untils = [*(since for since, _ in spec.offsets[1:]), datetime.max.replace(tzinfo=UTC)]
    found: list[datetime] = []
    index = 0
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if (unit == "week" and day.weekday()) or (unit == "month" and day.day > 1):
            continue
        local = datetime(day.year, day.month, day.day, tzinfo=UTC)
        index = max(index - 1, 0)
        while max(spec.offsets[index][0], local - spec.offsets[index][1]) >= untils[index]:
            index += 1
        found.append(max(spec.offsets[index][0], local - spec.offsets[index][1]))
    return found


def trimmed(spec: ZoneSpec, since: datetime) -> ZoneSpec:
    """The zone without the offsets that were over at `since`."""
    over = sum(1 for changed, _ in spec.offsets[1:] if changed <= since)
    return ZoneSpec(spec.name, spec.offsets[over:])


def _off_grid(spec: ZoneSpec, unit: str, grid: Grid) -> datetime | None:
    """A period that begins inside a tile; None if all of them begin with one."""
    since = grid.start - timedelta(days=400)
    off = [
        (first, last)
        for first, last in _moments_of_the_week(spec.name, unit, since.year)
        if last >= since and floor(first, grid.tile, grid.phase) != first
    ]
    return min(off)[0] if off else None


@lru_cache
def _moments_of_the_week(zone: str, unit: str, year: int) -> Sequence[tuple[datetime, datetime]]:
    """When in a week periods begin, from a year on: for each such moment the first and the last
    that do.

    Every tile divides a week, so these few say whether all of them begin with a tile.
    """
    found: dict[timedelta, tuple[datetime, datetime]] = {}
    for instant in starts(zone_spec(zone), unit, date(year, 1, 1), date(LAST_YEAR - 1, 12, 31)):
        moment = (instant - EPOCH) % timedelta(days=7)
        found[moment] = (found[moment][0] if moment in found else instant, instant)
    return tuple(found.values())


def _finer_tile(spec: ZoneSpec, unit: str, grid: Grid) -> str:
    for tile in (
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
