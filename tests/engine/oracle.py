"""What a batch feature view must say, by brute force over the raw rows; written from the docs, not from the SQL.

It shares no code with the product and is slow on purpose: every value is looked for among all rows. Instants and
durations are whole microseconds since the Unix epoch; a row is a dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
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
        counts = {f.name for f in self.features if isinstance(f, WindowFeature) and f.function == "count"}
        return {f.name: 0 if f.name in counts else None for f in self.features}

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
        return aggregate(feature.function, [row[feature.column] for row in inside])


def aggregate(function: str, column: Sequence[Any]) -> Any:
    """One function over one column; nulls do not count."""
    values = [value for value in column if value is not None]
    if function == "count":
        return len(values)
    if not values:
        return None
    if function == "sum":
        return total(values)
    if function == "mean":
        return float(total(values)) / len(values)
    if function == "min":
        return min(values, key=sortable)
    if function == "max":
        return max(values, key=sortable)
    raise ValueError(function)


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


def same(one: Any, other: Any, scale: float = 0.0) -> bool:
    """Whether two values are the same; floats may differ by 1e-9 of `scale`, the sum of the absolute values."""
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        if math.isinf(one) or math.isinf(other):
            return one == other
        return abs(one - other) <= 1e-9 * max(scale, abs(one), abs(other))
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one == other
    return type(one) is type(other) and one == other
