"""Run a query in the example's warehouse and print its result: `python sql.py "SELECT ..."`."""

import sys
from pathlib import Path

import duckdb

with duckdb.connect(
    str(Path(__file__).parent / ".plane" / "warehouse.duckdb"), read_only=True
) as connection:
    connection.sql(sys.argv[1]).show(max_width=120)
