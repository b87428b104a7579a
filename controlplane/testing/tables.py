"""Rows that a test was given, as typed tables of a warehouse in memory."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from controlplane.base.ports import Statement
from controlplane.base.types import (
    is_decimal,
    is_list,
    item_type,
    parse_date,
    parse_instant,
    parse_type,
)
from controlplane.compile.sources import is_column
from controlplane.definitions import BatchSource
from controlplane.errors import PlaneError
from controlplane.sql.dialects import DUCKDB

Row = Mapping[str, Any]
_TYPES: Mapping[type, str] = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    bytes: "binary",
    date: "date",
    datetime: "timestamp",
}
_DIGITS = 38


@dataclass(frozen=True)
class Table:
    """A source's table, its columns with their canonical types, and its rows."""

    source: str
    name: str
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def statements(self) -> list[Statement]:
        """What creates and fills it."""
        d = DUCKDB
        schema, _, _ = self.name.rpartition(".")
        columns = ", ".join(
            f"{d.quote(name)} {d.type(kind)}" for name, kind in self.columns.items()
        )
        found = [
            Statement(
                f"create the schema of source {self.source!r}",
                f"CREATE SCHEMA IF NOT EXISTS {schema}",
            ),
            Statement(
                f"create the table of source {self.source!r}",
                f"CREATE TABLE {self.name} ({columns})",
            ),
        ]
        if "." in schema:
            catalog = schema.partition(".")[0]
            found.insert(
                0, Statement(f"attach {catalog}", f"ATTACH IF NOT EXISTS ':memory:' AS {catalog}")
            )
        values = [f"({', '.join(self._literals(row))})" for row in self.rows]
        if values:
            sql = f"INSERT INTO {self.name} VALUES {', '.join(values)}"
            found.append(Statement(f"fill the table of source {self.source!r}", sql))
        return found

    def _literals(self, row: Mapping[str, Any]) -> Iterator[str]:
        for name, kind in self.columns.items():
            yield literal(self._place(name), row.get(name), kind)

    def _place(self, column: str) -> str:
        return f"source {self.source!r}, column {column!r}"


def table(
    source: str,
    name: str,
    rows: Iterable[Row],
    columns: Mapping[str, str],
    times: Collection[str] = (),
) -> Table:
    """The table that holds the rows.

    Args:
        source: the source's name.
        name: its table.
        rows: dictionaries; a column that a row lacks is null.
        columns: types that were told; the others follow from the values.
        times: columns that are timestamps where their values are text.

    Raises:
        PlaneError: a column's type can't be told from its values, or was told wrongly.
    """
    rows = list(rows)
    names = list(dict.fromkeys([*(name for row in rows for name in row), *columns]))
    types: dict[str, str] = {}
    for column in names:
        place = f"source {source!r}, column {column!r}"
        if column in columns:
            try:
                types[column] = parse_type(columns[column])
            except ValueError as error:
                raise PlaneError(f"{place}: {error}") from None
        elif column in times and any(isinstance(row.get(column), str) for row in rows):
            types[column] = "timestamp"
        else:
            types[column] = _inferred(place, source, column, [row.get(column) for row in rows])
    if not types:
        hint = f'tell them: columns={{"{source}": {{"amount": "float64", ...}}}}'
        raise PlaneError(
            f"source {source!r} was given no rows, so its columns are not known", hint=hint
        )
    return Table(source, name, types, rows)


def table_of(
    source: BatchSource,
    readers: Sequence[BatchSource],
    rows: Sequence[Row],
    columns: Mapping[str, str],
) -> Table:
    """The table of a source.

    Args:
        source: the one whose rows were given.
        readers: all sources over its table: the event times of each may be text.
        rows: as in `table`.
        columns: as in `table`.

    Raises:
        PlaneError: as in `table`.
    """
    known = {column for row in rows for column in row} | set(columns)
    named = [one.timestamp for one in readers if one.timestamp is not None]
    times = [timestamp for timestamp in named if is_column(timestamp, known)]
    typed = dict.fromkeys(times, "timestamp") | dict(columns)
    raw_times = {one.prune_by for one in readers if one.prune_by is not None}
    return table(source.name, source.table, rows, typed, raw_times)


def _inferred(place: str, source: str, column: str, values: Sequence[object]) -> str:
    kinds = sorted({_kind(value, values) for value in values if value is not None})
    if kinds == ["float64", "int64"]:
        kinds = ["float64"]
    if len(kinds) == 1 and "" not in kinds:
        return kinds[0]
    why = "has values of several types" if kinds else "has no value, so its type can't be told"
    if "" in kinds:
        odd = next(value for value in values if value is not None and not _kind(value, values))
        why = f"holds {odd!r}, which no type fits"
    hint = f'tell it: columns={{"{source}": {{"{column}": "float64"}}}}'
    raise PlaneError(f"{place} {why}", hint=hint)


def _kind(value: object, values: Sequence[object]) -> str:
    if isinstance(value, Decimal):
        exponents = [
            int(v.as_tuple().exponent) for v in values if isinstance(v, Decimal) and v.is_finite()
        ]
        return f"decimal({_DIGITS},{max(0, -min(exponents, default=0))})"
    if isinstance(value, list | tuple):
        items = [
            item for v in values if isinstance(v, list | tuple) for item in v if item is not None
        ]
        kinds = {_kind(item, items) for item in items}
        return f"array<{kinds.pop()}>" if len(kinds) == 1 and "" not in kinds else ""
    return _TYPES.get(type(value), "")


def literal(place: str, value: object, kind: str) -> str:
    """A value as SQL of a canonical type.

    Raises:
        PlaneError: it is none of that type.
    """
    d = DUCKDB
    try:
        match value:
            case None:
                return f"CAST(NULL AS {d.type(kind)})"
            case list() | tuple() if is_list(kind):
                items = ", ".join(literal(place, item, item_type(kind)) for item in value)
                return f"CAST([{items}] AS {d.type(kind)})"
            case bool() if kind == "bool":
                return str(value).upper()
            case bytes() if kind == "binary":
                return f"from_hex('{value.hex()}')"
            case str() if kind == "string":
                return d.text(value)
            case str() | datetime() if kind == "timestamp":
                return d.instant(parse_instant(value) if isinstance(value, str) else value)
            case datetime():
                pass  # it is a date, too, but it holds more than one
            case str() | date() if kind == "date":
                return f"DATE '{value if isinstance(value, date) else parse_date(value)}'"
            case int() | float() | Decimal() if not isinstance(value, bool) and _number_fits(
                value, kind
            ):
                return f"CAST('{value}' AS {d.type(kind)})"
    except ValueError:
        pass  # text that is no date or time
    raise PlaneError(
        f"{place}: {value!r} is not of type {kind}",
        hint="correct the value, or its type in columns=",
    )


def _number_fits(value: float | Decimal, kind: str) -> bool:
    if kind == "int64":
        return isinstance(value, int)
    return kind == "float64" or (is_decimal(kind) and math.isfinite(value))
