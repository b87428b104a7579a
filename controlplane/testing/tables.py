"""Turn the rows of a test into typed tables in DuckDB."""

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
_DIGITS = 38  # of a decimal in all supported warehouses


@dataclass(frozen=True)
class Table:
    """A source's table, its columns with their canonical types, and its rows."""

    source: str
    name: str
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def statements(self) -> list[Statement]:
        """Return the statements that create and fill the table."""
        d = DUCKDB
        schema, _, _ = self.name.rpartition(".")
        columns = ", ".join(
            f"{d.quote(name)} {d.type(column_type)}" for name, column_type in self.columns.items()
        )
        statements = [
            Statement(
                f"create the schema of source {self.source!r}",
                f"CREATE SCHEMA IF NOT EXISTS {schema}",
            ),
            Statement(
                f"create the table of source {self.source!r}",
                f"CREATE TABLE {self.name} ({columns})",
            ),
        ]
        # A table of another catalog: DuckDB needs a database of that name.
        if "." in schema:
            catalog = schema.partition(".")[0]
            statements.insert(
                0, Statement(f"attach {catalog}", f"ATTACH IF NOT EXISTS ':memory:' AS {catalog}")
            )
        values = [f"({', '.join(self._literals(row))})" for row in self.rows]
        if values:
            sql = f"INSERT INTO {self.name} VALUES {', '.join(values)}"
            statements.append(Statement(f"fill the table of source {self.source!r}", sql))
        return statements

    def _literals(self, row: Mapping[str, Any]) -> Iterator[str]:
        for name, column_type in self.columns.items():
            yield literal(self._location(name), row.get(name), column_type)

    def _location(self, column: str) -> str:
        return f"source {self.source!r}, column {column!r}"


def table(
    source: str,
    name: str,
    rows: Iterable[Row],
    columns: Mapping[str, str],
    times: Collection[str] = (),
) -> Table:
    """Return a table with the rows.

    Args:
        source: the name of the source.
        name: the name of its table.
        rows: dictionaries; a column that a row lacks is null.
        columns: declared types of columns; other types are inferred from the values.
        times: columns whose text values are timestamps.

    Raises:
        PlaneError: a column's type can't be inferred from its values, or a declared type is wrong.
    """
    rows = list(rows)
    names = list(dict.fromkeys([*(name for row in rows for name in row), *columns]))
    types: dict[str, str] = {}
    for column in names:
        location = f"source {source!r}, column {column!r}"
        if column in columns:
            try:
                types[column] = parse_type(columns[column])
            except ValueError as error:
                raise PlaneError(f"{location}: {error}") from None
        elif column in times and any(isinstance(row.get(column), str) for row in rows):
            types[column] = "timestamp"
        else:
            types[column] = _inferred(location, source, column, [row.get(column) for row in rows])
    if not types:
        hint = f'pass columns={{"{source}": {{"amount": "float64", ...}}}}'
        raise PlaneError(f"source {source!r} has no rows, so its columns are unknown", hint=hint)
    return Table(source, name, types, rows)


def table_of(
    source: BatchSource,
    readers: Sequence[BatchSource],
    rows: Sequence[Row],
    columns: Mapping[str, str],
) -> Table:
    """Return the table of a source.

    Args:
        source: the source with these rows.
        readers: all sources with this table; the event time of each may be text.
        rows: as in `table`.
        columns: as in `table`.

    Raises:
        PlaneError: as in `table`.
    """
    known = {column for row in rows for column in row} | set(columns)
    timestamps = [reader.timestamp for reader in readers if reader.timestamp is not None]
    times = [timestamp for timestamp in timestamps if is_column(timestamp, known)]
    typed = dict.fromkeys(times, "timestamp") | dict(columns)
    raw_times = {reader.prune_by for reader in readers if reader.prune_by is not None}
    return table(source.name, source.table, rows, typed, raw_times)


def _inferred(location: str, source: str, column: str, values: Sequence[object]) -> str:
    types = sorted({_type_of(value, values) for value in values if value is not None})
    # `[1, 2.5]` is a column of doubles.
    if types == ["float64", "int64"]:
        types = ["float64"]
    if len(types) == 1 and "" not in types:
        return types[0]
    why = "has values of several types" if types else "has no values, so its type is unknown"
    if "" in types:
        odd = next(value for value in values if value is not None and not _type_of(value, values))
        why = f"holds {odd!r}, which no type can hold"
    hint = f'pass its type: columns={{"{source}": {{"{column}": "float64"}}}}'
    raise PlaneError(f"{location} {why}", hint=hint)


def _type_of(value: object, values: Sequence[object]) -> str:
    if isinstance(value, Decimal):
        exponents = [
            int(v.as_tuple().exponent) for v in values if isinstance(v, Decimal) and v.is_finite()
        ]
        return f"decimal({_DIGITS},{max(0, -min(exponents, default=0))})"
    if isinstance(value, list | tuple):
        items = [
            item for v in values if isinstance(v, list | tuple) for item in v if item is not None
        ]
        item_types = {_type_of(item, items) for item in items}
        return f"array<{item_types.pop()}>" if len(item_types) == 1 and "" not in item_types else ""
    return _TYPES.get(type(value), "")


def literal(location: str, value: object, value_type: str) -> str:
    """Return a value as an SQL literal of a canonical type.

    Raises:
        PlaneError: the value is not of that type.
    """
    d = DUCKDB
    try:
        match value:
            case None:
                return f"CAST(NULL AS {d.type(value_type)})"
            case list() | tuple() if is_list(value_type):
                items = ", ".join(literal(location, item, item_type(value_type)) for item in value)
                return f"CAST([{items}] AS {d.type(value_type)})"
            # Before numbers: a bool is an int in Python.
            case bool() if value_type == "bool":
                return str(value).upper()
            case bytes() if value_type == "binary":
                return f"from_hex('{value.hex()}')"
            case str() if value_type == "string":
                return d.text(value)
            case str() | datetime() if value_type == "timestamp":
                return d.instant(parse_instant(value) if isinstance(value, str) else value)
            case datetime():
                pass  # a datetime is a date for Python, but it would lose its time of day
            case str() | date() if value_type == "date":
                return f"DATE '{value if isinstance(value, date) else parse_date(value)}'"
            case int() | float() | Decimal() if not isinstance(value, bool) and _number_fits(
                value, value_type
            ):
                # In quotes, since NaN and infinities have no literals of their own.
                return f"CAST('{value}' AS {d.type(value_type)})"
    except ValueError:
        pass  # the text is not a date or a time
    raise PlaneError(
        f"{location}: {value!r} is not of type {value_type}",
        hint="correct the value, or its type in columns=",
    )


def _number_fits(value: float | Decimal, value_type: str) -> bool:
    if value_type == "int64":
        return isinstance(value, int)
    return value_type == "float64" or (is_decimal(value_type) and math.isfinite(value))
