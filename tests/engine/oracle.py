"""What a batch feature view must say, by brute force over the raw rows; written from the docs, not from the SQL.

It shares no code with the product and is slow on purpose: every value is looked for among all rows. Instants and
durations are whole microseconds since the Unix epoch; a row is a dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
Predicate = Callable[[Row], bool | None]
"""A condition as SQL has it: None where it can't be told."""


@dataclass(frozen=True)
class RowFeature:
    """The column `name` of the newest visible row."""

    name: str


@dataclass(frozen=True)
class WindowFeature:
    """A function over `[T - window, T)` with T shifted by `offset` (not positive); `column` None counts rows."""

    name: str
    function: str
    column: str | None
    window: int
    offset: int = 0
    where: Predicate | None = None
    n: int = 0
    q: float = 0.0


@dataclass(frozen=True)
class View:
    """The definition; `start` is where the first interval begins, `time` names the event time (None: static)."""

    keys: Sequence[str]
    time: str | None
    features: Sequence[RowFeature | WindowFeature]
    schedule: int
    start: int
    delay: int = 0
    ttl: int | None = None
    tie_breaker: Sequence[str] = ()

    def nothing(self) -> dict[str, Any]:
        """The values of an entity that nothing is known of."""
        return {f.name: empty(f.function) if isinstance(f, WindowFeature) else None for f in self.features}

    def value(self, rows: Sequence[Row], key: Sequence[Any], at: int) -> dict[str, Any]:
        """Every feature of one entity as it may be known at the instant `at`."""
        if any(part is None for part in key):
            return self.nothing()
        own = [row for row in rows if [row[k] for k in self.keys] == list(key) and self._event_time(row) is not None]
        newest = self._newest(own, at)
        found: dict[str, Any] = {}
        for feature in self.features:
            if isinstance(feature, RowFeature):
                found[feature.name] = newest[feature.name] if newest is not None else None
            else:
                found[feature.name] = self._windowed(feature, own, at)
        return found

    def _event_time(self, row: Row) -> int | None:
        # A static row takes effect at the start: it behaves like one from just before it, seen without waiting.
        return self.start - self.schedule if self.time is None else row[self.time]

    def _effective(self, row: Row) -> int:
        if self.time is None:
            return self.start
        event_time: int = row[self.time]
        return event_time // self.schedule * self.schedule + self.schedule + self.delay

    def _newest(self, own: Sequence[Row], at: int) -> Row | None:
        visible = [
            row for row in own if self._effective(row) <= at and (self.time is None or row[self.time] >= self.start)
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
        return [self._effective(row), self._event_time(row), *(sortable(row[column]) for column in order)]

    def _windowed(self, feature: WindowFeature, own: Sequence[Row], at: int) -> Any:
        computed = (at - self.delay) // self.schedule * self.schedule
        if computed < self.start + self.schedule:
            return self.nothing()[feature.name]
        end = computed + feature.offset
        inside = [row for row in own if end - feature.window <= self._event_time(row) < end]  # type: ignore[operator]
        if feature.where is not None:
            inside = [row for row in inside if feature.where(row) is True]
        if feature.column is None:
            return len(inside)
        order = ["", *self.tie_breaker, feature.column]
        inside.sort(key=lambda row: [self._event_time(row), *(sortable(row[column]) for column in order[1:])])
        return aggregate(feature, [row[feature.column] for row in inside])


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
    match function:
        case "count":
            return len(values)
        case "sum":
            return total(values)
        case "mean":
            return float(total(values)) / len(values)
        case "min":
            return min(values, key=sortable)
        case "max":
            return max(values, key=sortable)
        case "var_samp" | "var_pop" | "stddev_samp" | "stddev_pop":
            return variance(function, [float(value) for value in values])
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "first_n":
            return values[: feature.n]
        case "last_n":
            return values[-feature.n :]
        case "first_distinct_n":
            return different(values)[: feature.n]
        case "last_distinct_n":
            return different(values[::-1])[::-1][-feature.n :]
        case "count_distinct" | "approx_count_distinct":  # far fewer values than the sketch keeps: it is exact
            return len(different(values))
        case "percentile":
            return percentile(values, feature.q)
        case "approx_percentile":
            return percentile_bounds(values, feature.q)
    raise ValueError(function)


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
        found.setdefault("NaN" if isinstance(value, float) and math.isnan(value) else (value,), value)
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


def total(values: Sequence[Any]) -> Any:
    """The exact sum of integers and decimals, the correctly rounded one of floats."""
    if not isinstance(values[0], float):
        return sum(values[1:], start=values[0])
    infinite = {value for value in values if math.isinf(value)}
    if any(math.isnan(value) for value in values) or len(infinite) == 2:
        return math.nan
    return infinite.pop() if infinite else math.fsum(values)


def sortable(value: Any) -> Any:
    """A key that orders as the docs say: null first, strings by their bytes, NaN equal to itself and last."""
    if value is None:
        return (0,)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    return (1, value.encode() if isinstance(value, str) else value)


def same(one: Any, other: Any, scale: float = 0.0, relative: float = 1e-9) -> bool:
    """Whether two values are the same; floats may differ by 1e-9 of `scale`, the sum of the absolute values."""
    if isinstance(other, Near):
        return same(one, other.value, 0.0, 0.010_000_1)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, scale) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        if math.isinf(one) or math.isinf(other):
            return one == other
        return abs(one - other) <= relative * max(scale, abs(one), abs(other))
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one == other
    return type(one) is type(other) and one == other
