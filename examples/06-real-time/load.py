"""Create the warehouse that a team would already have: raw tables in one DuckDB file."""

from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
TABLES = """
CREATE SCHEMA IF NOT EXISTS raw;
CREATE OR REPLACE TABLE raw.flights AS FROM read_parquet('data/flights.parquet');
CREATE OR REPLACE TABLE raw.departures AS
SELECT *, scheduled_at + to_minutes(CAST(dep_delay AS BIGINT)) AS departed_at
FROM raw.flights WHERE dep_delay IS NOT NULL ORDER BY departed_at;
"""

(HERE / ".plane").mkdir(exist_ok=True)
with duckdb.connect(str(HERE / ".plane" / "warehouse.duckdb")) as connection:
    connection.execute(TABLES.replace("data/", f"{HERE}/data/"))
    [(flights, departures)] = connection.execute(
        "SELECT (SELECT count(*) FROM raw.flights), (SELECT count(*) FROM raw.departures)"
    ).fetchall()
print(f"loaded {flights:,} flights, {departures:,} of which departed")
