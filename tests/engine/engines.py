"""What tests do in a warehouse beside the product: make tables, put rows into them, look at what is
there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from connectors.duckdb.warehouse import DuckDBWarehouse, canonical_type
from controlplane.base.ports import Statement, Warehouse
from controlplane.sql.dialects import dialect

ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "BLOB": pa.binary(),
    "TIMESTAMP": pa.timestamp("us"),
    "DECIMAL(12,2)": pa.decimal128(12, 2),
}
SCHEMAS = ("features", "_plane", "datasets", "raw")


def raw(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """The driver's connection below the embedded warehouse's connector."""
    assert isinstance(warehouse, DuckDBWarehouse)
    return warehouse._connection


def run(
    warehouse: Warehouse, *sql: str, parameters: Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run statements as a user would, beside the product.

    The last one's rows, of the embedded warehouse alone.
    """
    found: list[tuple[Any, ...]] = []
    for statement in sql:
        if isinstance(warehouse, DuckDBWarehouse):
            found = raw(warehouse).execute(statement, parameters).fetchall()
        else:
            warehouse.execute([Statement("by the test", statement)])
    return found


def make(warehouse: Warehouse, table: str, columns: Mapping[str, str]) -> None:
    """Make a table without rows; types are DuckDB's."""
    if isinstance(warehouse, DuckDBWarehouse):
        spelled = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    else:
        d = dialect(warehouse.dialect)
        spelled = ", ".join(
            f"{d.quote(name)} {d.type(canonical_type(kind))}" for name, kind in columns.items()
        )
    run(warehouse, f"CREATE OR REPLACE TABLE {table} ({spelled})")


def insert(
    warehouse: Warehouse, table: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Append rows to a table."""
    if not rows:
        return
    names = list(columns)
    if not isinstance(warehouse, DuckDBWarehouse):
        values = ",\n".join(
            f"({', '.join(_literal(warehouse, row.get(n), columns[n]) for n in names)})"
            for row in rows
        )
        run(warehouse, f"INSERT INTO {table} VALUES\n{values}")
    elif all(kind in ARROW for kind in columns.values()):
        # As Arrow where the types allow it: the driver takes a row of values in milliseconds, a
        # table in no more.
        fields = pa.schema([(name, ARROW[columns[name]]) for name in names])
        arrow = pa.Table.from_pylist(
            [{name: row.get(name) for name in names} for row in rows], schema=fields
        )
        connection = raw(warehouse)
        connection.register("plane_added", arrow)
        connection.execute(f"INSERT INTO {table} SELECT * FROM plane_added").fetchall()
        connection.unregister("plane_added")
    else:
        marks = ", ".join("?" for _ in names)
        rest = [[row.get(name) for name in names] for row in rows]
        raw(warehouse).executemany(f"INSERT INTO {table} VALUES ({marks})", rest).fetchall()


def _literal(warehouse: Warehouse, value: Any, kind: str) -> str:
    d, canonical = dialect(warehouse.dialect), canonical_type(kind)
    match value:
        case None:
            return d.cast("NULL", canonical)
        case bytes():
            return d.bytes(value)
        case datetime():
            return d.instant(value)
        case list():
            items = [_literal(warehouse, item, kind.removesuffix("[]")) for item in value]
            return d.cast(d.array(items) if items else d.empty_list(), canonical)
        case bool():
            return str(value).upper()
        case float() | date() | str():
            return d.cast(d.text(str(value)), canonical)
        case _:
            return d.cast(str(value), canonical)


def empty(warehouse: Warehouse) -> None:
    """Drop what the product and the tests have made."""
    for schema in SCHEMAS:
        run(warehouse, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
