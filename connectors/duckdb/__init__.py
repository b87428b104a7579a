"""DuckDB: the embedded warehouse, and SQL over rows in memory."""

from connectors.duckdb.warehouse import connect

__all__ = ["connect"]
