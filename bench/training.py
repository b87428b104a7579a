"""A training set of 100,000 rows from three views of 1,000,000 rows each: ours, by hand, and
Feast's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from bench import feast, projects
from bench.rows import Row, by_turns, seconds
from controlplane import ControlPlane

SPINE = "SELECT * FROM raw.spine"
DEFINITIONS = """
from controlplane import Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "bench@example.com"
user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
"""
DEFINITIONS += "".join(
    f"""
source_{n} = BatchSource("source_{n}", table="raw.{n}", timestamp="event_timestamp", owner=OWNER)


@batch_feature_view(
    entities=[user], sources=[source_{n}], schedule="1h", start="2024-01-01", owner=OWNER, online=False,
    features=[Attribute("{n}_x", "float64"), Attribute("{n}_n", "int64"), Attribute("{n}_s", "string")],
)
def view_{n}(source_{n}):
    return f"SELECT * FROM {{source_{n}}}"
"""
    for n in "abc"
)
DEFINITIONS += """
model = FeatureService("model", features=[view_a, view_b, view_c], owner=OWNER)
"""
LOAD = """
SELECT setseed(0.5);
CREATE TABLE raw.spine AS
SELECT CAST(random() * 50000 AS BIGINT) AS user_id,
    TIMESTAMP '2024-01-02' + to_seconds(CAST(random() * 86400 * 58 AS BIGINT)) AS event_timestamp,
    CAST(range % 2 AS BIGINT) AS label
FROM range(100000);
""" + "".join(
    f"""
CREATE TABLE raw.{n} AS
SELECT CAST(random() * 50000 AS BIGINT) AS user_id,
    TIMESTAMP '2024-01-01' + to_seconds(CAST(random() * 86400 * 59 AS BIGINT)) AS event_timestamp,
    random() AS {n}_x, CAST(random() * 1000 AS BIGINT) AS {n}_n, 'text' || CAST(random() * 100 AS BIGINT) AS {n}_s
FROM range(1000000);
"""
    for n in "abc"
)


def rows(temporary: Path) -> Iterator[Row]:
    """From history, against ASOF joins by hand on the same tables.

    From the sources, against Feast on the same rows.
    """
    folder = projects.make(temporary / "training", DEFINITIONS, LOAD, "2024-02-29T02:00:00Z")
    with ControlPlane(folder) as plane:
        plane.deploy()
        plane.run()
        connection: duckdb.DuckDBPyConnection = vars(plane.project.warehouse)["_connection"]
        names = [f"{n}_{c}" for n in "abc" for c in "xns"]
        joins = " ".join(
            f"ASOF LEFT JOIN features.view_{n}__history AS {n} "
            f"ON s.user_id = {n}.user_id AND s.event_timestamp >= {n}.valid_from"
            for n in "abc"
        )
        query = (
            f"CREATE OR REPLACE TABLE raw.by_hand AS SELECT s.*, {', '.join(names)} FROM raw.spine"
            f" AS s {joins}"
        )

        def ours() -> None:
            plane.create_dataset("history", service="model", spine=SPINE, time="event_timestamp")

        def ours_from_source() -> None:
            plane.create_dataset(
                "source", service="model", spine=SPINE, time="event_timestamp", from_source=True
            )

        # DuckDB writes its log back after some megabytes: every second time, so always to the same
        # one's account.
        measured, by_hand = by_turns(
            ours,
            lambda: connection.execute(query).fetchall(),
            repeat=5,
            before=lambda: connection.execute("CHECKPOINT").fetchall(),
        )
        yield Row(
            "training set, 100,000 x 3 views of 1,000,000 rows, from history",
            measured,
            by_hand,
            "ASOF joins by hand on the same tables",
            1.2,
        )
        from_source = seconds(ours_from_source)
        for table in ("spine", *"abc"):
            connection.execute(f"COPY raw.{table} TO '{temporary}/{table}.parquet'")
        try:
            rival, count, _ = feast.training(temporary)
            what: str = f"Feast 0.67 on DuckDB ({count:,} rows)"
            against: float | None = rival
        except feast.Absent as absent:
            what, against = str(absent), None
        yield Row("the same, from history", measured, against, what, 1.0)
        yield Row("the same, from the sources", from_source, against, what, 1.0)
