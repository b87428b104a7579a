"""One hourly run on a year of history: its time, and the rows it reads of each table.

A tile matters to the hour if it enters or leaves a window in it: for each key, one that enters, and one that leaves
each of the windows. What a run must read at least is these tiles, the rows of its own interval, and one newest row for
each key that changes.
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
from controlplane.ports import Statement
from controlplane.render.program import build
from controlplane.render.views import FILES, render_view
from controlplane.runtime.materialize import materialize
from controlplane.types import Interval

KEYS = 500
WINDOWS = 3
HOUR = timedelta(hours=1)
END = datetime(2024, 1, 1, 4, tzinfo=UTC)
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
        self.rows: Counter[str] = Counter()
        self.statements: list[tuple[str, float, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def execute(self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False) -> list[int]:
        if atomic:
            self._connection.execute("BEGIN")
        counts = []
        for statement in statements:
            self._connection.execute("SET enable_profiling = 'no_output'")
            started = time.perf_counter()
            self._connection.execute(statement.sql).fetchall()
            taken = time.perf_counter() - started
            found = json.loads(self._connection.get_profiling_information("json"))
            import pathlib; pathlib.Path(f"/tmp/prof_{statement.name.replace(' ','_').replace(chr(39),'')}.json").write_text(json.dumps(found, indent=1))
            self._connection.execute("RESET enable_profiling")
            scanned: Counter[str] = Counter()
            for operator in found.get("operator", ()):
                _scans(operator, scanned)
            self.rows += scanned
            self.statements.append((statement.name, taken, sum(scanned.values())))
            counts.append(-1)
        if atomic:
            self._connection.execute("COMMIT")
        return counts


def _scans(operator: dict[str, Any], found: Counter[str]) -> None:
    table = operator.get("extra_info", {}).get("Table")
    if isinstance(table, str):
        found[_part(table.rpartition(".")[2])] += int(operator.get("rows_scanned", 0))
    for child in operator.get("children", ()):
        _scans(child, found)


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
        plane.run(within=Interval(datetime(2023, 1, 1, tzinfo=UTC), END - 3 * HOUR))
        year = time.perf_counter() - started
        manifest = plane.deployed()[1]
        [view] = manifest.views
        program, sql = build(manifest, view), render_view(manifest, view)
        texts = {name: getattr(sql, name) for name in FILES}
        times = []
        for back in (2, 1):
            hour = Interval(END - (back + 1) * HOUR, END - back * HOUR)
            started = time.perf_counter()
            materialize(program, texts, plane.project.warehouse, hour)
            times.append(time.perf_counter() - started)
        profiled = Profiled(plane)
        materialize(program, texts, profiled, Interval(END - HOUR, END))
    slowest = sorted(profiled.statements, key=lambda s: s[1], reverse=True)[:4]
    for name, taken, read in slowest:
        print(f"    {taken * 1e3:7.1f} ms  {read:>10,} rows  {name}")
    tables = "; ".join(f"{name} {count:,}" for name, count in profiled.rows.most_common())
    print(f"    rows read: {tables}")
    moving = KEYS * (1 + WINDOWS)
    yield Row("one hour on a year of 500 keys", min(times), year, "the whole year at once", 0.2)
    yield Row(
        "tiles that one hour reads", profiled.rows["tiles"], moving, "tiles that enter or leave a window", 3, "rows"
    )
    yield Row(
        "rows of all tables that one hour reads",
        sum(profiled.rows.values()),
        moving,
        "tiles that enter or leave a window",
        None,
        "rows",
    )
