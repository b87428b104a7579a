"""One hourly run on a year of history: its time, and what it reads of each table.

A tile matters to the hour if it enters or leaves a window in it: for each key, one that enters, and
one that leaves each of the windows. What is read is what the conditions of a run's statements let
through. DuckDB looks at whole groups of 122,880 rows for that, which are many hours of a bench's
few keys; how many rows those have is printed beside it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from bench import projects
from bench.rows import Row
from controlplane import ControlPlane
from controlplane.base.ports import Statement
from controlplane.base.types import Interval
from controlplane.materialize.run import materialize
from controlplane.release.program import build
from controlplane.sql.views import FILES, render_view

KEYS = 1000
HOURS = 8  # measured: an hour that completes a day's rollup reads more than others
WINDOWS = 3
TILE = 5 * 8  # bytes: key, start, count, sum, maximum
HOUR = timedelta(hours=1)
END = datetime(2024, 1, 1, 10, tzinfo=UTC)
DEFINITIONS = """
from controlplane import Aggregate, BatchSource, Entity, batch_feature_view

user = Entity("user", keys={"user_id": "int64"}, owner="bench@example.com")
events = BatchSource("events", table="raw.events", timestamp="ts", owner="bench@example.com")


@batch_feature_view(
    entities=[user], sources=[events], schedule="1h", start="2023-01-01", owner="bench@example.com", online=False,
    features=[
        Aggregate("count", windows=["1h", "24h", "7d"]),
        Aggregate("sum", "amount", windows=["1h", "24h", "7d"]),
        Aggregate("max", "amount", windows=["1h", "24h", "7d"]),
    ],
)
def spending(events):
    return f"SELECT user_id, ts, amount FROM {events}"
"""
LOAD = f"""
SELECT setseed(0.5);
CREATE TABLE raw.events AS
SELECT user_id, TIMESTAMP '2022-12-25' + to_hours(h) + to_seconds(CAST(random() * 3599 AS BIGINT)) AS ts,
    CAST(random() * 1000 AS BIGINT) AS amount
FROM range({KEYS}) AS k(user_id), range(CAST(373 * 24 AS BIGINT)) AS t(h) WHERE random() < 0.7 ORDER BY ts;
"""


class Profiled:
    """Runs statements like the embedded warehouse, and notes what each read."""

    dialect = "duckdb"

    def __init__(self, plane: ControlPlane) -> None:
        self._warehouse = plane.project.warehouse
        self._connection: duckdb.DuckDBPyConnection = vars(self._warehouse)["_connection"]
        self._connection.execute("SET profiling_coverage = 'ALL'")
        self.read: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.looked_at: Counter[str] = Counter()
        self.given_up = 0
        self.statements: list[tuple[str, float, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        if atomic:
            self._connection.execute("BEGIN")
        counts = []
        for statement in statements:
            self._connection.execute("SET enable_profiling = 'no_output'")
            started = time.perf_counter()
            self._connection.execute(statement.sql).fetchall()
            taken = time.perf_counter() - started
            found = json.loads(self._connection.get_profiling_information("json"))
            self._connection.execute("RESET enable_profiling")
            before = self.read.total()
            for operator in found.get("operator", ()):
                self._scans(operator)
            self.statements.append((statement.name, taken, self.read.total() - before))
            counts.append(-1)
        if atomic:
            self._connection.execute("COMMIT")
        return counts

    def _scans(self, operator: dict[str, Any], above: Sequence[dict[str, Any]] = ()) -> None:
        table = operator.get("extra_info", {}).get("Table")
        if isinstance(table, str):
            part, scanned = (
                _part(table.rpartition(".")[2]),
                int(operator.get("intermediate_rows", 0)),
            )
            if _is_given_up(operator, above):
                self.given_up += scanned
                return
            rows = min([scanned, *_conditions(operator, above)])
            self.read[part] += rows
            self.bytes[part] += (
                rows * int(operator.get("intermediate_size_bytes", 0)) // max(scanned, 1)
            )
            self.looked_at[part] += int(operator.get("rows_scanned", 0))
        for child in operator.get("children", ()):
            self._scans(child, [operator, *above])


def _is_given_up(scan: dict[str, Any], above: Sequence[dict[str, Any]]) -> bool:
    """Whether a scan ended after its first rows, since what they are joined with turned out to be
    empty."""
    joins = (operator for operator in above if operator["type"] in ("CROSS_PRODUCT", "HASH_JOIN"))
    nearest = next(joins, scan)
    return nearest is not scan and not nearest.get("intermediate_rows")


def _conditions(scan: dict[str, Any], above: Sequence[dict[str, Any]]) -> Iterator[int]:
    """The rows that a scan's conditions leave which stand above it: filters, and joins with what
    the statement says."""
    below = scan
    for operator in above:
        others = [child["type"] for child in operator["children"] if child is not below]
        if operator["type"] not in ("FILTER", "PROJECTION") and others != ["COLUMN_DATA_SCAN"]:
            return
        yield int(operator.get("intermediate_rows", 0))
        below = operator


def _part(name: str) -> str:
    """`tiles` for `spending__tiles__1a2b3c4d`, `stage` for `stage__spending__1a2b3c4d`."""
    first, *others = name.split("__")
    return others[0] if others and first not in ("stage", "head") else first


def rows(temporary: Path) -> Iterator[Row]:
    """The time and the rows of an hour, and those of the year that it stands on."""
    folder = projects.make(temporary / "increment", DEFINITIONS, LOAD, "2024-01-01T04:00:00Z")
    with ControlPlane(folder) as plane:
        plane.deploy()
        started = time.perf_counter()
        plane.run(within=Interval(datetime(2023, 1, 1, tzinfo=UTC), END - (HOURS + 2) * HOUR))
        year = time.perf_counter() - started
        manifest = plane.deployed()[1]
        [view] = manifest.views
        program, sql = build(manifest, view), render_view(manifest, view)
        texts = {name: getattr(sql, name) for name in FILES}
        times = []
        for back in (HOURS + 2, HOURS + 1):
            hour = Interval(END - back * HOUR, END - (back - 1) * HOUR)
            started = time.perf_counter()
            materialize(program, texts, plane.project.warehouse, hour)
            times.append(time.perf_counter() - started)
        profiled = Profiled(plane)
        for back in range(HOURS, 0, -1):
            materialize(
                program, texts, profiled, Interval(END - back * HOUR, END - (back - 1) * HOUR)
            )
        query = (
            "SELECT count(*) FROM features.spending__tiles WHERE tile_start >= TIMESTAMP"
            f" '{END:%F %T}' - to_hours(1)"
        )
        [entering] = vars(plane.project.warehouse)["_connection"].execute(query).fetchone()
    slowest = sorted(profiled.statements, key=lambda s: s[1], reverse=True)[:4]
    for name, taken, read in slowest:
        print(f"    {taken * 1e3:7.1f} ms  {read:>10,} rows  {name}")
    tables = "; ".join(f"{name} {count // HOURS:,}" for name, count in profiled.read.most_common())
    print(f"    rows read in an hour: {tables}")
    print(
        f"    in groups of altogether {profiled.looked_at.total() // HOURS:,} rows; {entering:,}"
        " tiles enter last"
    )
    print(
        "    begun and given up, as what they are joined with is empty:"
        f" {profiled.given_up // HOURS:,} rows"
    )
    moving = KEYS * (1 + WINDOWS)
    yield Row(
        f"one hour on a year of {KEYS:,} keys", min(times), year, "the whole year at once", 0.2
    )
    kilobytes = (profiled.bytes["tiles"] + profiled.bytes["rollups"]) / HOURS / 1e3
    what = "tiles that enter or leave a window"
    yield Row(
        "tiles and rollups that one hour reads", kilobytes, moving * TILE / 1e3, what, 3, "kB"
    )
    yield Row(
        "rows of all tables that one hour reads",
        profiled.read.total() / HOURS,
        moving,
        what,
        None,
        "rows",
    )
