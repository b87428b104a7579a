"""Turns a view into the oracle's definition, and fetches its raw rows with the user's own SQL.

The warehouse evaluates conditions, each as one more column, so that no SQL is evaluated here. Users
can't choose the names of these columns. Only row features keep their own names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from controlplane.base.ports import Warehouse
from controlplane.base.types import MICROSECOND, Interval, micros
from controlplane.codec.times import endless
from controlplane.errors import CheckFailed
from controlplane.manifest.specs import AggregateSpec, AttributeSpec, Manifest, ViewSpec
from controlplane.manifest.windows import (
    CalendarWindow,
    LifetimeWindow,
    SeriesWindow,
    SlidingWindow,
)
from controlplane.sql.dialects import Dialect, dialect
from controlplane.verify import oracle
from controlplane.verify.evaluated import Evaluated
from controlplane.verify.oracle import Periods, Row, RowFeature, WindowFeature
from controlplane.verify.values import plain

TIME = "event__time"
NUMBER, AT, SINCE = "sample__number", "sample__at", "sample__since"
RAW = "plane_raw"
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Sample:
    """One entity at one instant (microseconds since the epoch).

    No row before `since` counts; None if any row may. `newest` marks the sample that is compared
    with the newest rows and the online values too.
    """

    key: Key
    at: int
    since: int | None
    newest: bool = False


class Expected:
    """What one view should say, by brute force over its raw rows.

    Args:
        manifest: the deployed manifest.
        view: one of its views.
        evaluated: the rows that the view's SQL returns.
        roughly: whether only the size of values matters. If one statement can't evaluate all
            intervals, they are then evaluated as if they were one.
    """

    def __init__(
        self, manifest: Manifest, view: ViewSpec, evaluated: Evaluated, *, roughly: bool = False
    ) -> None:
        self.spec = view
        self.evaluated = evaluated
        self._roughly = roughly and not evaluated.complete
        self._d: Dialect = dialect(manifest.dialect)
        self._columns: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        self.keys = [f"key__{position}" for position in range(len(view.keys))]
        self._ties = [f"tie__{position}" for position in range(len(view.tie_breaker))]
        self.oracle = oracle.View(
            keys=self.keys,
            time=None if view.timestamp is None else TIME,
            features=[self._feature(feature) for feature in view.features],
            schedule=_micros(view.schedule),
            start=micros(view.start),
            delay=_micros(view.delay),
            ttl=None if view.ttl is None else _micros(view.ttl),
            tie_breaker=self._ties,
            phase=_micros(view.phase),
        )
        self.label = f"{manifest.project}/{manifest.environment}/{view.name}"

    def _feature(self, feature: AttributeSpec | AggregateSpec) -> RowFeature | WindowFeature:
        d = self._d
        if isinstance(feature, AttributeSpec):
            self._columns["attribute", feature.name] = d.from_user(
                d.quote(feature.column), feature.type
            )
            self._names[feature.name] = feature.name
            return RowFeature(feature.name)
        column = where = None
        if feature.column is not None:
            column = self._named(
                d.from_user(d.quote(feature.column), str(feature.column_type)), feature.column
            )
        if feature.where is not None:
            # The line break ends a comment at the end of the user's condition.
            where = self._named(
                f"CASE WHEN ({feature.where}\n) THEN TRUE ELSE FALSE END", f"where {feature.where}"
            )
        by = (
            self._named(d.from_user(d.quote(feature.by[0]), feature.by[1]), feature.by[0])
            if feature.by
            else None
        )
        return WindowFeature(
            name=feature.name,
            function=feature.function,
            column=column,
            offset=_micros(feature.offset),
            where=Holds(where) if where else None,
            n=feature.n or 0,
            q=feature.q or 0.0,
            by=by,
            lists_keys=feature.lists_keys,
            **_window(feature),
        )

    def _named(self, sql: str, name: str) -> str:
        """Return the raw rows' column for an expression; users know it by `name`."""
        column = self._columns.get(("column", sql))
        if column is None:
            column = f"column__{len(self._names)}"
            self._columns["column", sql] = column
            self._names[column] = name
        return column

    def _selected(self) -> str:
        """Return the SELECT list that makes the raw rows' columns from the user's SQL."""
        d, view = self._d, self.spec
        columns = [
            f"{d.from_user(d.quote(n), key_type)} AS {d.quote(a)}"
            for (n, key_type), a in zip(view.keys, self.keys, strict=True)
        ]
        if view.timestamp is not None:
            columns.append(f"{d.utc(d.quote(view.timestamp))} AS {d.quote(TIME)}")
        columns += [
            f"{d.quote(n)} AS {d.quote(a)}"
            for n, a in zip(view.tie_breaker, self._ties, strict=True)
        ]
        for (use, name), column in self._columns.items():
            sql, alias = (column, name) if use == "attribute" else (name, column)
            columns.append(f"{sql} AS {d.quote(alias)}")
        return ", ".join(columns)

    @property
    def columns(self) -> list[str]:
        """Return the names of the raw rows' columns."""
        time = [] if self.spec.timestamp is None else [TIME]
        return [*self.keys, *time, *self._ties, *self._names]

    def _known(self) -> str:
        """Return the condition that a raw row has a key and a time."""
        known = [*self.keys, *([] if self.spec.timestamp is None else [TIME])]
        return " AND ".join(f"{self._d.quote(name)} IS NOT NULL" for name in known)

    def raw(self) -> str:
        """Return common table expressions; the last, `plane_raw`, has rows with key and time."""
        time = "" if self.spec.timestamp is None else self._d.quote(TIME)
        rows = (
            self.evaluated.as_one(self._selected())
            if self._roughly
            else self.evaluated.all_rows(self._selected(), time)
        )
        return (
            f"WITH plane_any AS (\n{rows}\n),\n{RAW} AS (SELECT * FROM plane_any WHERE"
            f" {self._known()})"
        )

    def alone(self, interval: Interval) -> str:
        """Return a query for the raw rows of one interval that is evaluated alone."""
        return self._with_key(self.evaluated.alone(interval, self._selected()))

    def at_once(self, intervals: Sequence[Interval]) -> str:
        """Return a query for the rows of some intervals, evaluated in one run over all of them."""
        d, time = self._d, self._d.quote(TIME)
        rows = self._with_key(self.evaluated.at_once(self._selected()))
        inside = (
            f"({time} >= {d.instant(interval.start)} AND {time} < {d.instant(interval.end)})"
            for interval in intervals
        )
        return f"{rows} AND ({' OR '.join(inside)})"

    def _with_key(self, query: str) -> str:
        return f"SELECT * FROM (\n{query}\n) AS plane_some WHERE {self._known()}"

    def spine(self, samples: Mapping[int, Sample], names: Sequence[str]) -> str:
        """Return a query for the samples: their numbers, instants, and keys with these names."""
        d = self._d
        rows = []
        for number, sample in samples.items():
            keys = [
                d.literal(part, key_type)
                for part, (_, key_type) in zip(sample.key, self.spec.keys, strict=True)
            ]
            # Cast below: a column of NULLs alone has no type.
            since = "NULL" if sample.since is None else str(sample.since)
            moments = [d.from_micros(str(sample.at)), f"CAST({since} AS {d.type('int64')})"]
            rows.append(f"({', '.join([str(number), *moments, *keys])})")
        columns = ", ".join(d.quote(name) for name in (NUMBER, AT, SINCE, *names))
        values = ",\n".join(rows)
        return f"SELECT * FROM (VALUES\n{values}\n) AS plane_samples({columns})"

    def joined(self, samples: Mapping[int, Sample]) -> tuple[str, str]:
        """Return common table expressions, and a FROM clause with the raw rows of each sample.

        The clause's aliases are `r` for the raw rows and `s` for the samples.
        """
        d = self._d
        same = [f"r.{d.quote(name)} = s.{d.quote(name)}" for name in self.keys]
        if self.spec.timestamp is not None:
            # As numbers: `since` may lie before the earliest timestamp that a warehouse can hold.
            time = d.micros(f"r.{d.quote(TIME)}")
            same.append(f"{time} < {d.micros(f's.{d.quote(AT)}')}")
            same.append(f"{time} >= coalesce(s.{d.quote(SINCE)}, {time})")
        tables = f"{self.raw()},\nplane_spine AS (\n{self.spine(samples, self.keys)}\n)"
        return tables, f"FROM {RAW} AS r JOIN plane_spine AS s ON {' AND '.join(same)}"

    def fetched(self, warehouse: Warehouse, query: str) -> Iterator[dict[str, Any]]:
        """Yield a query's rows, batch by batch; timestamps as microseconds since the epoch.

        Raises:
            CheckFailed: a time is infinite, or beyond the years that readers support. No run would
                publish it.
        """
        named: dict[str, str | None] = {**self._names}
        named |= dict(zip(self._ties, self.spec.tie_breaker, strict=True))
        named |= dict(zip(self.keys, (name for name, _ in self.spec.keys), strict=True)) | {
            TIME: self.spec.timestamp
        }
        for batch in warehouse.fetch(query, tag=f"plane:{self.label}/verify"):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if endless(column):
                    shown = named.get(name) or name
                    text = (
                        f"feature view {self.spec.name!r}: {shown!r} has values that are infinite"
                        " or beyond year 9999"
                    )
                    hint = (
                        "no run publishes them: correct the rows, or cast or filter them in the"
                        " view's SQL"
                    )
                    raise CheckFailed(text, where=self.spec.location, hint=hint)
            for row in batch.to_pylist():
                yield {name: plain(value) for name, value in row.items()}

    def rows(
        self, warehouse: Warehouse, samples: Mapping[int, Sample]
    ) -> Iterator[tuple[int, list[Row]]]:
        """Yield the number and the raw rows of each sample that has any, in ascending order."""
        number = self._d.quote(NUMBER)
        tables, clause = self.joined(samples)
        query = f"{tables}\nSELECT s.{number}, r.* {clause} ORDER BY s.{number}"
        for sample_number, rows in groupby(self.fetched(warehouse, query), itemgetter(NUMBER)):
            yield (
                sample_number,
                [{name: value for name, value in row.items() if name != NUMBER} for row in rows],
            )

    def scales(
        self, warehouse: Warehouse, samples: Mapping[int, Sample], features: Collection[str]
    ) -> dict[int, dict[str, float | None]]:
        """Return the sum of the absolute values that could count, by sample and float feature."""
        d = self._d
        columns = {
            f.name: f.column
            for f in self.oracle.features
            if isinstance(f, WindowFeature) and f.name in features
        }
        sizes = [
            f"sum(CASE WHEN {d.finite(column)} THEN abs({column}) END) AS {d.quote(name)}"
            for name, column in (
                (name, f"r.{d.quote(str(column))}") for name, column in columns.items()
            )
        ]
        tables, clause = self.joined(samples)
        number = d.quote(NUMBER)
        query = f"{tables}\nSELECT s.{number}, {', '.join(sizes)} {clause} GROUP BY s.{number}"
        return {row[NUMBER]: row for row in self.fetched(warehouse, query)}

    def shown(self, row: Row, feature: RowFeature | WindowFeature | None) -> dict[str, Any]:
        """Return a raw row by the user's names: its time, and the columns that the feature reads.

        Without a feature it has all columns.
        """
        columns = [*self._ties, *self._names]
        if isinstance(feature, RowFeature):
            columns = [feature.name, *self._ties]
        elif feature is not None:
            condition = feature.where.column if isinstance(feature.where, Holds) else None
            ties = self._ties if feature.function.startswith(("first", "last")) else []
            columns = [name for name in (feature.column, condition, feature.by, *ties) if name]
        named = self._names | dict(zip(self._ties, self.spec.tie_breaker, strict=True))
        time = {} if self.spec.timestamp is None else {self.spec.timestamp: row[TIME]}
        return time | {named[name]: row[name] for name in columns}


@dataclass(frozen=True)
class Holds:
    """A condition that the warehouse evaluated into a column."""

    column: str

    def __call__(self, row: Row) -> bool | None:
        """Return whether the condition holds for the row."""
        value: bool | None = row[self.column]
        return value


def _window(feature: AggregateSpec) -> dict[str, Any]:
    match feature.window:
        case SlidingWindow(length):
            return {"window": _micros(length)}
        case LifetimeWindow():
            return {"window": None}
        case SeriesWindow(length, step, steps):
            return {"window": _micros(length), "step": _micros(step), "steps": steps}
        case CalendarWindow(unit, zone, count, ago):
            return {"window": None, "periods": Periods(unit, zone, count, ago)}


def _micros(duration: timedelta) -> int:
    return duration // MICROSECOND
