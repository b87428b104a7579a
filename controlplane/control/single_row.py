"""Creates control tables of one row; of several deploys, the first one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import TransientError
from controlplane.sql.control_tables import ControlTable, create_schema
from controlplane.sql.dialects import dialect

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1

Row = TypeVar("Row")


def ensure(
    warehouse: Warehouse,
    table: ControlTable,
    literals: Mapping[str, str],
    read: Callable[[], Row | None],
) -> Row:
    """Return the table's row, after creating the table with this row if there is none.

    Deploys that run at the same time agree on one row: the table is created together with it, and
    only one CREATE TABLE can succeed. Two inserts do not exclude each other on Snowflake and
    Databricks.

    Args:
        warehouse: written if the row is missing.
        table: the table's name and columns.
        literals: column -> SQL of its value.
        read: returns the row; None if the table or the row is missing.

    Raises:
        TransientError: the table is removed again and again.
    """
    if (row := read()) is not None:
        return row
    d = dialect(warehouse.dialect)
    columns = ", ".join(
        f"{d.cast(literals[name], column_type)} AS {name}"
        for name, column_type in table.columns.items()
    )
    quoted = table.quoted(d)
    statements = [
        create_schema(d),
        Statement(
            f"make {table.plain}", f"CREATE TABLE IF NOT EXISTS {quoted} AS SELECT {columns}"
        ),
        # Does nothing unless the row was removed.
        Statement(
            f"restore the row of {table.plain}",
            f"INSERT INTO {quoted} SELECT {columns} FROM (SELECT 1 AS one) AS single "
            f"WHERE NOT EXISTS (SELECT 1 FROM {quoted})",
        ),
    ]
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            warehouse.execute(statements)
        except TransientError:
            # Another deploy creates it at the same moment, and the warehouse refused this one.
            if attempt == _ATTEMPTS:
                raise
            # Longer each time, so that two deploys don't collide at the same step again.
            time.sleep(_PAUSE_SECONDS * attempt)
        if (row := read()) is not None:
            return row
    hint = "find out who drops tables of `_plane`, and deploy again"
    raise TransientError(f"{table.plain} is removed as soon as it is created", hint=hint)
