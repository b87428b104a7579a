"""What differs between warehouses in the SQL that we write: quoting, type names, and the few forms that differ."""

from __future__ import annotations

from controlplane.errors import PlaneError
from controlplane.render.dialects.base import NULLS_FIRST, Dialect
from controlplane.render.dialects.databricks import Databricks
from controlplane.render.dialects.duckdb import DuckDB
from controlplane.render.dialects.snowflake import Snowflake

__all__ = ["DIALECTS", "DUCKDB", "NULLS_FIRST", "Dialect", "dialect"]

DUCKDB = DuckDB()
DIALECTS: dict[str, Dialect] = {one.name: one for one in (DUCKDB, Snowflake(), Databricks())}


def dialect(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        PlaneError: there is none.
    """
    if name not in DIALECTS:
        raise PlaneError(f"there is no dialect {name!r}", hint=f"choose from: {', '.join(DIALECTS)}")
    return DIALECTS[name]
