"""What a batch feature view must say, by brute force over the raw rows.

Written from the docs, not from the SQL.

It shares no code with the rest and is slow on purpose: every value is looked for among all rows.
Instants and durations are whole microseconds since the Unix epoch; a row is a dictionary. Nothing
is imported from other rooms.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

_DIGITS = 80  # more than a sum of decimals has, so that nothing is rounded
_LARGEST = Fraction(sys.float_info.max)
Row = Mapping[str, Any]
Predicate = Callable[[Row], bool | None]
"""A condition as SQL has it: None where it can't be told."""


@dataclass(frozen=True)
class RowFeature:
    """The column `name` of the newest visible row."""

    name: str


@dataclass(frozen=True)
class Periods:
    """`count` periods of a zone's calendar, the last one `ago` before the one that T lies in.

    Unit day, week, month.
    """

    unit: str
    zone: str
    count: int
    ago: int


@dataclass(frozen=True)
class WindowFeature:
    """A function over `[T - window, T)` with T shifted by `offset` (not positive); `column` None
    counts rows.

    `window` None begins at the view's start; `periods` are those of a calendar instead. With
    `steps` the value is the list of that many windows, each ending `step` after the one before.
    With `by` it is the list of what the function gives for each of that column's values in the
    window, or of these values themselves (`lists_keys`).
    """

    name: str
    function: str
    column: str | None
    window: int | None
    offset: int = 0
    where: Predicate | None = None
    n: int = 0
    q: float = 0.0
    steps: int = 0
    step: int = 0
    periods: Periods | None = None
    by: str | None = None
    lists_keys: bool = False

    def nothing(self) -> Any:
        """Its value where there is no row at all."""
        if self.by is not None:
            return []
        return [empty(self.function)] * self.steps if self.steps else empty(self.function)


@dataclass(frozen=True)
class View:
    """The definition.

    `start` is where the first interval begins, `time` names the event time (None: static).
    """

    keys: Sequence[str]
    time: str | None
    features: Sequence[RowFeature | WindowFeature]
    schedule: int
    start: int
    delay: int = 0
    ttl: int | None = None
    tie_breaker: Sequence[str] = ()
    phase: int = 0

    def nothing(self) -> dict[str, Any]:
        """The values of an entity that nothing is known of."""
        return {
            f.name: f.nothing() if isinstance(f, WindowFeature) else None for f in self.features
        }

    def value(self, rows: Sequence[Row], key: Sequence[Any], at: int) -> dict[str, Any]:
        """Every feature of one entity as it may be known at the instant `at`."""
        if any(part is None for part in key):
            return self.nothing()
        own = [
            row
            for row in rows
            if [row[k] for k in self.keys] == list(key) and self._event_time(row) is not None
        ]
        newest = self._newest(own, at)
        found: dict[str, Any] = {}
        for feature in self.features:
            if isinstance(feature, RowFeature):
                found[feature.name] = newest[feature.name] if newest is not None else None
            else:
                found[feature.name] = self._windowed(feature, own, at)
        return found

    def _event_time(self, row: Row) -> int | None:
        # A static row takes effect at the start: it behaves like one from just before it, seen
        # without waiting.
        return self.start - self.schedule if self.time is None else row[self.time]

    def _effective(self, row: Row) -> int:
        if self.time is None:
            return self.start
        event_time: int = row[self.time]
        return self._floor(event_time) + self.schedule + self.delay

    def _floor(self, instant: int) -> int:
        return (instant - self.phase) // self.schedule * self.schedule + self.phase

    def _newest(self, own: Sequence[Row], at: int) -> Row | None:
        visible = [
            row
            for row in own
            if self._effective(row) <= at and (self.time is None or row[self.time] >= self.start)
        ]
        if not visible:
            return None
        order = [*self.tie_breaker, *(f.name for f in self.features if isinstance(f, RowFeature))]
        best = visible[0]
        for row in visible[1:]:
            if self._rank(row, order) > self._rank(best, order):
                best = row
        expired = self.ttl is not None and at >= self._effective(best) + self.ttl
        return None if expired else best

    def _rank(self, row: Row, order: Sequence[str]) -> list[Any]:
        return [
            self._effective(row),
            self._event_time(row),
            *(sortable(row[column]) for column in order),
        ]

    def _windowed(self, feature: WindowFeature, own: Sequence[Row], at: int) -> Any:
        computed = self._floor(at - self.delay)
        if computed < self.start + self.schedule:
            return feature.nothing()
        if feature.where is not None:
            own = [row for row in own if feature.where(row) is True]
        if feature.steps:
            ends = [
                computed + feature.offset - back * feature.step
                for back in reversed(range(feature.steps))
            ]
            return [self._over(feature, own, end - (feature.window or 0), end) for end in ends]
        if feature.periods is not None:
            start, end = bounds(feature.periods, computed)
        else:
            end = computed + feature.offset
            start = self.start if feature.window is None else end - feature.window
        if feature.by is None:
            return self._over(feature, own, start, end)
        inside = [row for row in self._inside(own, start, end) if row[feature.by] is not None]
        values = sorted(different([row[feature.by] for row in inside]), key=sortable)
        if feature.lists_keys:
            return values
        return [
            self._over(feature, [row for row in inside if row[feature.by] == value], start, end)
            for value in values
        ]

    def _inside(self, own: Sequence[Row], start: int, end: int) -> list[Row]:
        return [row for row in own if start <= self._event_time(row) < end]  # type: ignore[operator]

    def _over(self, feature: WindowFeature, own: Sequence[Row], start: int, end: int) -> Any:
        inside = self._inside(own, start, end)
        if feature.column is None:
            return len(inside)
        order = ["", *self.tie_breaker, feature.column]
        inside.sort(
            key=lambda row: [
                self._event_time(row),
                *(sortable(row[column]) for column in order[1:]),
            ]
        )
        return aggregate(feature, [row[feature.column] for row in inside])


def bounds(periods: Periods, end: int) -> tuple[int, int]:
    """Where the window of a calendar begins and ends at T: found day by day on the zone's own
    clocks."""
    zone = ZoneInfo(periods.zone)
    now = _first_day(periods.unit, _local_day(end, zone))
    first = _back(periods.unit, now, periods.ago + periods.count - 1, zone)
    if not periods.ago:
        return _begins(first, zone), end
    return _begins(first, zone), _begins(_back(periods.unit, now, periods.ago - 1, zone), zone)


def _back(unit: str, first: date, count: int, zone: ZoneInfo) -> date:
    """The first day of the period so many before; a day that the zone left out is none."""
    for _ in range(count):
        begins = _begins(first, zone)
        while _begins(first, zone) == begins:
            first = _first_day(unit, first - timedelta(days=1))
    return first


def _local_day(instant: int, zone: ZoneInfo) -> date:
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)).astimezone(zone).date()
    )


def _first_day(unit: str, day: date) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


@lru_cache(maxsize=10_000)
def _begins(day: date, zone: ZoneInfo) -> int:
    """The first instant of a local day, by halving: days do not run backwards."""
    guess = (day - date(1970, 1, 1)).days * 86_400_000_000
    low, high = guess - 2 * 86_400_000_000, guess + 2 * 86_400_000_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _local_day(middle, zone) < day else (low, middle)
    return high


def empty(function: str) -> Any:
    """The value of a function over nothing."""
    if function in ("count", "count_distinct", "approx_count_distinct"):
        return 0
    return [] if function.endswith("_n") else None


def aggregate(feature: WindowFeature, column: Sequence[Any]) -> Any:
    """One function over one column, in ascending order of time; nulls do not count."""
    function = feature.function
    values = [value for value in column if value is not None]
    if not values:
        return empty(function)
    return _FUNCTIONS[function](feature, values)


def mean(values: Sequence[Any]) -> float:
    """The exact mean of integers and decimals, rounded once.

    Of floats their sum by their number.
    """
    if isinstance(values[0], float):
        return float(total(values)) / len(values)
    return float(Fraction(total(values)) / len(values))


def variance(function: str, values: Sequence[float]) -> float | None:
    """Two passes, in exact fractions."""
    less = 1 if function.endswith("samp") else 0
    if len(values) <= less:
        return None
    if not all(math.isfinite(value) for value in values):
        return math.nan
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    found = float(sum((value - mean) ** 2 for value in exact) / (len(exact) - less))
    return math.sqrt(found) if function.startswith("stddev") else found


def different(values: Sequence[Any]) -> list[Any]:
    """The different values, each where it stands first; NaN equals itself."""
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(
            "NaN" if isinstance(value, float) and math.isnan(value) else (value,), value
        )
    return list(found.values())


def percentile(values: Sequence[Any], q: float) -> float:
    """Linear interpolation at position q (n - 1) of the sorted values."""
    ordered = [float(value) for value in sorted(values, key=sortable)]
    place = q * (len(ordered) - 1)
    low, high, share = math.floor(place), math.ceil(place), place - math.floor(place)
    return ordered[low] if share == 0 else ordered[low] * (1 - share) + ordered[high] * share


@dataclass(frozen=True)
class Near:
    """A value that may be off by 1 % of itself."""

    value: float


def percentile_bounds(values: Sequence[Any], q: float) -> Near:
    """The value of rank floor(q (n - 1)), from 0."""
    ordered = [float(value) for value in sorted(values, key=sortable)]
    return Near(ordered[math.floor(q * (len(ordered) - 1))])


_FUNCTIONS: Mapping[str, Callable[[WindowFeature, Sequence[Any]], Any]] = {
    "count": lambda _, values: len(values),
    "sum": lambda _, values: total(values),
    "mean": lambda _, values: mean(values),
    "min": lambda _, values: min(values, key=sortable),
    "max": lambda _, values: max(values, key=sortable),
    **{
        name: lambda feature, values: variance(feature.function, [float(value) for value in values])
        for name in ("var_samp", "var_pop", "stddev_samp", "stddev_pop")
    },
    "first": lambda _, values: values[0],
    "last": lambda _, values: values[-1],
    "first_n": lambda feature, values: values[: feature.n],
    "last_n": lambda feature, values: values[-feature.n :],
    "first_distinct_n": lambda feature, values: different(values)[: feature.n],
    "last_distinct_n": lambda feature, values: different(values[::-1])[::-1][-feature.n :],
    "count_distinct": lambda _, values: len(different(values)),
    # far fewer values than the sketch keeps, so it is exact
    "approx_count_distinct": lambda _, values: len(different(values)),
    "percentile": lambda feature, values: percentile(values, feature.q),
    "approx_percentile": lambda feature, values: percentile_bounds(values, feature.q),
}
"""Each function over the values that are not null, of which there is at least one."""


def total(values: Sequence[Any]) -> Any:
    """The exact sum of integers and decimals, the correctly rounded one of floats.

    Infinite beyond their range.
    """
    if not isinstance(values[0], float):
        with localcontext(prec=_DIGITS):
            return sum(values[1:], start=values[0])
    infinite = {value for value in values if math.isinf(value)}
    if any(math.isnan(value) for value in values) or len(infinite) == 2:
        return math.nan
    if infinite:
        return infinite.pop()
    try:
        return math.fsum(values)
    except OverflowError:  # of a part of the sum, perhaps of that alone
        exact = sum((Fraction(value) for value in values), Fraction(0))
        if abs(exact) <= _LARGEST:
            return float(exact)
        return math.inf if exact > 0 else -math.inf


def sortable(value: Any) -> Any:
    """A key that orders as the docs say: null first, strings by their bytes, NaN equal to itself
    and last."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, value.encode() if isinstance(value, str) else value)


def same(one: Any, other: Any, scale: float = 0.0, relative: float = 1e-9) -> bool:
    """Whether two values are the same.

    Floats may differ by 1e-9 of `scale`, the sum of the absolute values.
    """
    if isinstance(other, Near):
        return same(one, other.value, 0.0, 0.010_000_1)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            same(a, b, scale) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        if math.isinf(one) or math.isinf(other):
            return one == other
        return abs(one - other) <= relative * max(scale, abs(one), abs(other))
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one == other
    return type(one) is type(other) and one == other
