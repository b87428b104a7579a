"""The differences between the warehouses' SQL: capabilities, quoting, types, and a few forms."""

from __future__ import annotations

from controlplane.errors import PlaneError
from controlplane.sql.dialects.base import Dialect
from controlplane.sql.dialects.databricks import Databricks
from controlplane.sql.dialects.duckdb import DuckDB
from controlplane.sql.dialects.lists import NULLS_FIRST
from controlplane.sql.dialects.snowflake import Snowflake

__all__ = ["DIALECTS", "DUCKDB", "NULLS_FIRST", "Dialect", "dialect"]

DUCKDB = DuckDB()
DIALECTS: dict[str, Dialect] = {d.name: d for d in (DUCKDB, Snowflake(), Databricks())}


def dialect(name: str) -> Dialect:
    """Return the dialect with this name.

    Raises:
        PlaneError: there is no such dialect.
    """
    if name not in DIALECTS:
        raise PlaneError(
            f"there is no dialect {name!r}", hint=f"choose from: {', '.join(DIALECTS)}"
        )
    return DIALECTS[name]
