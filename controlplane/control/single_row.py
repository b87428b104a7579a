"""Control tables of one row, which the first of several deploys makes."""

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
    """Return the table's row, after making the table with this row where there is none.

    Deploys that run at the same time agree on one row: the table is made together with it, and only
    one CREATE TABLE can succeed. Two inserts do not exclude each other on Snowflake and Databricks.

    Args:
        warehouse: written where the row is missing.
        table: its name and columns.
        literals: column -> SQL of its value.
        read: returns the row; None where the table or the row is missing.

    Raises:
        TransientError: somebody removes the table again and again.
    """
    if (row := read()) is not None:
        return row
    d = dialect(warehouse.dialect)
    columns = ", ".join(
        f"{d.cast(literals[name], kind)} AS {name}" for name, kind in table.columns.items()
    )
    quoted = table.quoted(d)
    statements = [
        create_schema(d),
        Statement(
            f"make {table.plain}", f"CREATE TABLE IF NOT EXISTS {quoted} AS SELECT {columns}"
        ),
        # Does nothing unless somebody has removed the row.
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
            # Another deploy makes it at the same moment, and the warehouse refused this one.
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_SECONDS * attempt)
        if (row := read()) is not None:
            return row
    hint = "look at who drops tables of `_plane`, and deploy again"
    raise TransientError(f"{table.plain} is removed as soon as it is made", hint=hint)
