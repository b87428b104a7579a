"""What differs between warehouses in the SQL that we write: quoting, type names, and the few forms
that differ."""

from __future__ import annotations

from controlplane.errors import PlaneError
from controlplane.sql.dialects.base import NULLS_FIRST, Dialect
from controlplane.sql.dialects.databricks import Databricks
from controlplane.sql.dialects.duckdb import DuckDB
from controlplane.sql.dialects.snowflake import Snowflake

__all__ = ["DIALECTS", "DUCKDB", "NULLS_FIRST", "Dialect", "dialect"]

DUCKDB = DuckDB()
DIALECTS: dict[str, Dialect] = {one.name: one for one in (DUCKDB, Snowflake(), Databricks())}


def dialect(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        PlaneError: there is none.
    """
    if name not in DIALECTS:
        raise PlaneError(
            f"there is no dialect {name!r}", hint=f"choose from: {', '.join(DIALECTS)}"
        )
    return DIALECTS[name]
