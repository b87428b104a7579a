"""Computes what a batch feature view should say, by brute force over the raw rows.

It is written from the docs, not from the SQL, and shares no code with other rooms. So an error of
theirs can't hide here. It is slow on purpose: each value searches all rows. Instants and durations
are whole microseconds, since the Unix epoch where they are instants. A row is a dictionary.
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
# `float()` of a fraction just above it raises in place of returning infinity.
_LARGEST = Fraction(sys.float_info.max)
Row = Mapping[str, Any]
Predicate = Callable[[Row], bool | None]
"""A condition with SQL's logic: None is unknown."""


@dataclass(frozen=True)
class RowFeature:
    """The column `name` of the newest visible row."""

    name: str


@dataclass(frozen=True)
class Periods:
    """`count` periods of a zone's calendar; the last one is `ago` periods before the one of T.

    `unit` is day, week or month.
    """

    unit: str
    zone: str
    count: int
    ago: int


@dataclass(frozen=True)
class WindowFeature:
    """A function over the values of a column in `[T - window, T)`.

    - `offset`, which is not positive, shifts T.
    - Without a `column` the function counts rows.
    - Without a `window` it begins at the view's start; `periods` are a calendar's window.
    - With `steps` the value is a list of that many windows. Each ends `step` after the one before.
    - With `by` the value is a list: the function's value for each value of that column in the
      window, or these values themselves (`lists_keys`).
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
        """Return the value over no rows."""
        if self.by is not None:
            return []
        return [empty(self.function)] * self.steps if self.steps else empty(self.function)


@dataclass(frozen=True)
class View:
    """The definition of a view.

    `start` is the start of the first interval. `time` is the event time's column, or None for a
    static view.
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
        """Return the values of an entity without rows."""
        return {
            f.name: f.nothing() if isinstance(f, WindowFeature) else None for f in self.features
        }

    def value(self, rows: Sequence[Row], key: Sequence[Any], at: int) -> dict[str, Any]:
        """Return every feature of one entity, as of the instant `at`."""
        if any(part is None for part in key):
            return self.nothing()
        own = [
            row
            for row in rows
            if [row[k] for k in self.keys] == list(key) and self._event_time(row) is not None
        ]
        newest = self._newest(own, at)
        values: dict[str, Any] = {}
        for feature in self.features:
            if isinstance(feature, RowFeature):
                values[feature.name] = newest[feature.name] if newest is not None else None
            else:
                values[feature.name] = self._windowed(feature, own, at)
        return values

    def _event_time(self, row: Row) -> int | None:
        # A static row takes effect at the start. It behaves like a row of the interval before it
        # that is visible without delay.
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
        # `value` has already removed the rows without an event time.
        return [r for r in own if start <= self._event_time(r) < end]  # type: ignore[operator]

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
    """Return the start and end of a calendar's window at T, by the zone's own clocks."""
    # Day by day, not by a zone's offsets: a day may have 23 or 25 hours, or not exist.
    zone = ZoneInfo(periods.zone)
    now = _first_day(periods.unit, _local_day(end, zone))
    first = _back(periods.unit, now, periods.ago + periods.count - 1, zone)
    if not periods.ago:
        return _begins(first, zone), end
    return _begins(first, zone), _begins(_back(periods.unit, now, periods.ago - 1, zone), zone)


def _back(unit: str, first: date, count: int, zone: ZoneInfo) -> date:
    """Return the first day of the period `count` periods earlier.

    A day that the zone skipped is not counted: Samoa had no 30 December 2011.
    """
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
    """Return the first instant of a local day, by bisection: local days never run backwards."""
    guess = (day - date(1970, 1, 1)).days * 86_400_000_000
    low, high = guess - 2 * 86_400_000_000, guess + 2 * 86_400_000_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _local_day(middle, zone) < day else (low, middle)
    return high


def empty(function: str) -> Any:
    """Return the value of a function over no values."""
    if function in ("count", "count_distinct", "approx_count_distinct"):
        return 0
    return [] if function.endswith("_n") else None


def aggregate(feature: WindowFeature, column: Sequence[Any]) -> Any:
    """Apply a function to one column's values, in ascending order of time; nulls don't count."""
    function = feature.function
    values = [value for value in column if value is not None]
    if not values:
        return empty(function)
    return _FUNCTIONS[function](feature, values)


def mean(values: Sequence[Any]) -> float:
    """Return the mean: exact and rounded once for integers and decimals, sum / count for floats."""
    if isinstance(values[0], float):
        return float(total(values)) / len(values)
    return float(Fraction(total(values)) / len(values))


def variance(function: str, values: Sequence[float]) -> float | None:
    """Return the variance or its square root, by two passes over exact fractions."""
    less = 1 if function.endswith("samp") else 0
    if len(values) <= less:
        return None
    if not all(math.isfinite(value) for value in values):
        return math.nan
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    spread = float(sum((value - mean) ** 2 for value in exact) / (len(exact) - less))
    return math.sqrt(spread) if function.startswith("stddev") else spread


def different(values: Sequence[Any]) -> list[Any]:
    """Return the distinct values in the order of their first occurrence; NaN equals itself."""
    first: dict[Any, Any] = {}
    for value in values:
        first.setdefault(
            "NaN" if isinstance(value, float) and math.isnan(value) else (value,), value
        )
    return list(first.values())


def percentile(values: Sequence[Any], q: float) -> float:
    """Interpolate linearly at position q (n - 1) of the sorted values."""
    ordered = [float(value) for value in sorted(values, key=sortable)]
    position = q * (len(ordered) - 1)
    low, high, share = math.floor(position), math.ceil(position), position - math.floor(position)
    return ordered[low] if share == 0 else ordered[low] * (1 - share) + ordered[high] * share


@dataclass(frozen=True)
class Near:
    """A value with a tolerance of 1 %."""

    value: float


def percentile_bounds(values: Sequence[Any], q: float) -> Near:
    """Return the value at position floor(q (n - 1)) of the sorted values."""
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
    # The sketch is exact for fewer values than it keeps.
    "approx_count_distinct": lambda _, values: len(different(values)),
    "percentile": lambda feature, values: percentile(values, feature.q),
    "approx_percentile": lambda feature, values: percentile_bounds(values, feature.q),
}
"""Each function over the values that are not null; there is at least one."""


def total(values: Sequence[Any]) -> Any:
    """Return the exact sum of integers and decimals, or the correctly rounded sum of floats.

    A sum of floats beyond their range is infinite.
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
    except OverflowError:  # perhaps only of a partial sum: 1e308 + 1e308 - 1e308
        exact = sum((Fraction(value) for value in values), Fraction(0))
        if abs(exact) <= _LARGEST:
            return float(exact)
        return math.inf if exact > 0 else -math.inf


def sortable(value: Any) -> Any:
    """Return a sort key: null first, strings by their bytes, NaN last and equal to itself."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, value.encode() if isinstance(value, str) else value)


def same(value: Any, other: Any, scale: float = 0.0, relative: float = 1e-9) -> bool:
    """Return whether two values are the same.

    Floats may differ by `relative` of the larger one, or of `scale`: the sum of absolute values.
    """
    if isinstance(other, Near):
        return same(value, other.value, 0.0, 0.010_000_1)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(
            same(a, b, scale) for a, b in zip(value, other, strict=True)
        )
    if isinstance(value, float) and isinstance(other, float):
        if math.isnan(value) or math.isnan(other):
            return math.isnan(value) and math.isnan(other)
        if math.isinf(value) or math.isinf(other):
            return value == other
        return abs(value - other) <= relative * max(scale, abs(value), abs(other))
    if isinstance(value, Decimal) and isinstance(other, Decimal):
        return value == other
    return type(value) is type(other) and value == other
