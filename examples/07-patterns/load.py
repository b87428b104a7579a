"""Create the warehouse that a team would already have: raw tables in one DuckDB file."""

from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent

(HERE / ".plane").mkdir(exist_ok=True)
with duckdb.connect(str(HERE / ".plane" / "warehouse.duckdb")) as connection:
    connection.execute((HERE / "load.sql").read_text(encoding="utf-8"))
    tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
print(f"loaded {', '.join(name for (name,) in tables)}")
