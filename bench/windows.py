"""Sliding windows at 200,000 rows of a spine over 2,000,000 events, three ways that must agree to
the last row.

By hand: running sums per key and two as-of lookups for each window (exact, since the amounts are
integers), and one join on the range of the farthest window. Ours: from history (the tables are made
before), and straight from the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from bench import projects
from bench.rows import Row, seconds
from controlplane import ControlPlane

HOURS = {"1h": 1, "24h": 24, "7d": 168}
SPINE = "SELECT * FROM raw.spine"
DEFINITIONS = """
from controlplane import Aggregate, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "bench@example.com"
user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
events = BatchSource("events", table="raw.events", timestamp="ts", owner=OWNER)


@batch_feature_view(
    entities=[user], sources=[events], schedule="1h", start="2024-01-01", owner=OWNER, online=False,
    features=[
        Aggregate("count", windows=["1h", "24h", "7d"]),
        Aggregate("sum", "amount", windows=["1h", "24h", "7d"]),
    ],
)
def spending(events):
    return f"SELECT user_id, ts, amount FROM {events}"


model = FeatureService("model", features=[spending], owner=OWNER)
"""
LOAD = """
SELECT setseed(0.5);
CREATE TABLE raw.events AS
SELECT CAST(random() * 10000 AS BIGINT) AS user_id,
    TIMESTAMP '2023-12-25' + to_seconds(CAST(random() * 86400 * 66 AS BIGINT)) AS ts,
    CAST(random() * 1000 AS BIGINT) AS amount
FROM range(2000000);
CREATE TABLE raw.spine AS
SELECT range AS number, CAST(random() * 10000 AS BIGINT) AS user_id,
    TIMESTAMP '2024-01-02' + to_seconds(CAST(random() * 86400 * 58 AS BIGINT)) AS ts
FROM range(200000);
"""
END = "time_bucket(INTERVAL 1 HOUR, ts)"


def _running_sums() -> str:
    joins, columns = [], []
    for name, back in {"now": 0, **HOURS}.items():
        joins.append(
            f"ASOF LEFT JOIN running AS at_{name} ON s.user_id = at_{name}.user_id"
            f" AND s.window_end - INTERVAL {back} HOUR > at_{name}.ts"
        )
    for name in HOURS:
        columns.append(f"coalesce(at_now.n, 0) - coalesce(at_{name}.n, 0) AS n_{name}")
        total = f"coalesce(at_now.total, 0) - coalesce(at_{name}.total, 0)"
        columns.append(f"CASE WHEN n_{name} > 0 THEN {total} END AS total_{name}")
    return f"""CREATE OR REPLACE TABLE raw.running_sums AS
WITH running AS (
  SELECT user_id, ts, max(n) AS n, last(total ORDER BY n) AS total FROM (
    SELECT user_id, ts, row_number() OVER w AS n, sum(amount) OVER w AS total
    FROM raw.events WINDOW w AS (PARTITION BY user_id ORDER BY ts ROWS UNBOUNDED PRECEDING)
  ) GROUP BY user_id, ts
)
SELECT s.number, {", ".join(columns)}
FROM (SELECT *, {END} AS window_end FROM raw.spine) AS s {" ".join(joins)}"""


def _range_join() -> str:
    columns = []
    for name, back in HOURS.items():
        inside = f"FILTER (WHERE e.ts >= s.window_end - INTERVAL {back} HOUR)"
        columns += [f"count(e.ts) {inside} AS n_{name}", f"sum(e.amount) {inside} AS total_{name}"]
    return f"""CREATE OR REPLACE TABLE raw.range_join AS
SELECT s.number, {", ".join(columns)}
FROM (SELECT *, {END} AS window_end FROM raw.spine) AS s LEFT JOIN raw.events AS e
  ON s.user_id = e.user_id AND e.ts >= s.window_end - INTERVAL {max(HOURS.values())} HOUR AND e.ts < s.window_end
GROUP BY s.number, s.window_end"""


def _ours(table: str) -> str:
    columns = ", ".join(
        f"spending__count_{n} AS n_{n}, spending__amount_sum_{n} AS total_{n}" for n in HOURS
    )
    return f"SELECT number, {columns} FROM {table}"


def rows(temporary: Path) -> Iterator[Row]:
    """The four times, and that all results are equal."""
    folder = projects.make(temporary / "windows", DEFINITIONS, LOAD, "2024-02-29T02:00:00Z")
    with ControlPlane(folder) as plane:
        connection: duckdb.DuckDBPyConnection = vars(plane.project.warehouse)["_connection"]
        sums = seconds(lambda: connection.execute(_running_sums()).fetchall())
        ranges = seconds(lambda: connection.execute(_range_join()).fetchall())
        best, what = min(
            (sums, "running sums and as-of lookups by hand"), (ranges, "a range join by hand")
        )
        made = []

        def create(*, from_source: bool) -> None:
            name = "source" if from_source else "history"
            found = plane.create_dataset(
                name, service="model", spine=SPINE, time="ts", from_source=from_source
            )
            made.append(found.table)

        plane.deploy()
        from_source = seconds(lambda: create(from_source=True))
        materialized = seconds(plane.run, 1)
        from_history = seconds(lambda: create(from_source=False))
        for other in ("SELECT * FROM raw.range_join", _ours(made[0]), _ours(made[-1])):
            hand = "SELECT * FROM raw.running_sums"
            both = f"({hand} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {hand})"
            [(different,)] = connection.execute(f"SELECT count(*) FROM ({both})").fetchall()
            if different:
                raise AssertionError(f"{different} rows differ: {other}")
        size = "200,000 rows x 3 windows over 2,000,000 events"
        yield Row(f"{size}, from the source", from_source, best, what, 1.0)
        yield Row(f"{size}, from history", from_history, best, what, 1.0)
        yield Row("the other way by hand", max(sums, ranges), best, what)
        yield Row("computing that history, once", materialized, best, what)
