"""A year of hourly intervals of views that are computed interval by interval, against the same rows
row by row.

Both are whole runs: stage, check, publish. Before a number is printed, the rows that the forms
stage are compared for some intervals with one statement an interval.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import projects
from bench.rows import Row
from controlplane import ControlPlane
from controlplane.control import ledger
from controlplane.sql.rows import rows_sql

HOUR = timedelta(hours=1)
TARGET = 10
LOAD = """
SELECT setseed(0.5);
CREATE TABLE raw.orders AS
SELECT i AS oid, CAST(random() * 1000 AS BIGINT) AS uid, CAST(random() * 100 AS BIGINT) AS amt,
    TIMESTAMP '2023-01-01' + to_microseconds(CAST(random() * 365 * 86400e6 AS BIGINT)) AS ts
FROM range(500000) AS r(i) ORDER BY ts;
CREATE TABLE raw.payments AS
SELECT oid, amt, ts + to_microseconds(CAST(random() * 86400e6 AS BIGINT)) AS ts FROM raw.orders ORDER BY ts;
"""
VIEWS = {
    "row_by_row": ("payments", "SELECT oid % 1000 AS uid, ts, amt FROM {payments}"),
    "joined": (
        "payments, orders",
        "SELECT o.uid, p.ts, p.amt FROM {payments} AS p JOIN {orders} AS o USING (oid)",
    ),
    "windowed": (
        "payments",
        (
            "SELECT oid % 1000 AS uid, ts, max(amt) OVER (PARTITION BY oid % 10 ORDER BY ts) AS amt"
            " FROM {payments}"
        ),
    ),
    "distinct_rows": ("payments", "SELECT DISTINCT oid % 1000 AS uid, ts, amt FROM {payments}"),
}
HEAD = """
from controlplane import Aggregate, BatchSource, Entity, batch_feature_view

user = Entity("user", keys={"uid": "int64"}, owner="bench@example.com")
payments = BatchSource("payments", table="raw.payments", timestamp="ts", owner="bench@example.com")
orders = BatchSource(
    "orders", table="raw.orders", timestamp="ts", lookback="1d", owner="bench@example.com"
)
"""
VIEW = """

@batch_feature_view(
    entities=[user], sources=[{sources}], schedule="1h", start="2023-01-01", online=False,
    features=[Aggregate("count", windows=["24h"]), Aggregate("sum", "amt", windows=["24h"])],
    owner="bench@example.com",
)
def {name}({sources}):
    return f"{sql}"
"""


def rows(temporary: Path) -> Iterator[Row]:
    """One row a view."""
    definitions = HEAD + "".join(
        VIEW.format(name=name, sources=sources, sql=sql) for name, (sources, sql) in VIEWS.items()
    )
    folder = projects.make(temporary / "intervals", definitions, LOAD, "2024-01-01T00:00:00Z")
    with ControlPlane(folder) as plane:
        plane.deploy()
        took = {}
        for name in VIEWS:
            started = time.perf_counter()
            plane.run(views=[name])
            took[name] = time.perf_counter() - started
        for name in VIEWS:
            if name != "row_by_row":
                _compare(plane, name)
                what = f"{name}, a year of hourly intervals"
                yield Row(what, took[name], took["row_by_row"], "as many rows, row by row", TARGET)


def _compare(plane: ControlPlane, name: str) -> None:
    """Fail unless many intervals in one statement hold what each holds alone."""
    manifest, warehouse = plane.deployed()[1], plane.project.warehouse
    sql = rows_sql(manifest, manifest.view(name))

    def literal(instant: datetime) -> str:
        return f"TIMESTAMP '{instant:%Y-%m-%d %H:%M:%S}'"

    first = datetime(2023, 6, 1, tzinfo=UTC)
    queries = [sql.each_of(literal(first), literal(first + 24 * HOUR))]
    queries += [
        sql.one_range(literal(first + n * HOUR), literal(first + (n + 1) * HOUR)) for n in range(24)
    ]
    together, *alone = (
        [
            tuple(row.values())
            for row in ledger.rows(warehouse, f"{query}\nSELECT * FROM plane_rows")
        ]
        for query in queries
    )
    if sorted(together) != sorted(row for some in alone for row in some) or not together:
        raise AssertionError(f"{name}: the two forms differ")
