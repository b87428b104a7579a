"""A training set of 1,000,000 rows and 30 features in a file, against DuckDB's own COPY of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.rows import Row, by_turns
from controlplane.api.rows import Rows, Source
from controlplane.base.ports import Statement
from controlplane.codec import results
from controlplane.workspace.connectors import open_warehouse

ROWS = 1_000_000
FEATURES = [
    "CAST(hash(i, {n}) % 1000 AS BIGINT)",
    "CAST(hash(i, {n}) AS DOUBLE) / 1e19",
    "CASE WHEN hash(i, {n}) % 10 > 0 THEN CAST(hash(i, {n}) % 100 AS BIGINT) END",
]


def rows(temporary: Path) -> Iterator[Row]:
    """The time to Parquet by the engine itself, and as batches of Arrow, as of other warehouses."""
    warehouse = open_warehouse("duckdb", {"path": str(temporary / "warehouse.duckdb")})
    features = ", ".join(f"{FEATURES[n % 3].format(n=n)} AS f{n}" for n in range(30))
    made = (
        "CREATE TABLE trained AS SELECT i AS user_id, TIMESTAMP '2024-01-01' + to_seconds(i) AS at,"
        f" {features} FROM range({ROWS}) AS r(i)"
    )
    copied = f"COPY trained TO '{temporary / 'copied.parquet'}' (FORMAT parquet)"
    warehouse.execute([Statement("make", made)])
    trained = Rows(Source(warehouse, "SELECT * FROM trained"))

    def batches() -> None:
        reader = results.reader(trained.batches(), trained.columns)
        results.write_parquet(reader, temporary / "batches.parquet", lambda _: None)

    for name, work, target in (
        ("export", lambda: trained.export(temporary / "exported.parquet"), 1.3),
        ("export as Arrow batches", batches, None),
    ):
        ours, against = by_turns(work, lambda: warehouse.execute([Statement("copy", copied)]))
        yield Row(f"{name}, {ROWS:,} rows x 30 features", ours, against, "DuckDB's COPY", target)
    warehouse.close()
