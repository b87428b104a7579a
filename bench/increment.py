"""One hourly run on weeks of history: its time, and what it reads of each table.

A tile matters to the hour if it enters or leaves a window in it: for each key, one that enters, and
one that leaves each of the windows. What is read is what the conditions of a run's statements let
through (see `scans`): on DuckDB as it is, on Snowflake's endpoint with the ranges alone that the
statements write as literals. `python -m bench.increment --table` prints each statement.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from bench import projects
from bench.rows import Row
from bench.scans import LITERALS_ONLY, Profiler, Reads
from controlplane import ControlPlane
from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import Interval
from controlplane.materialize.run import materialize
from controlplane.release.program import build
from controlplane.sql.views import FILES, render_view
from tests.endpoints.snowflake import SnowflakeEndpoint

HOURS = 8  # measured: an hour that completes a day's rollup reads more than others
HOUR = timedelta(hours=1)
END = datetime(2024, 1, 1, 10, tzinfo=UTC)
DEFINITIONS = """
from controlplane import Aggregate, BatchSource, Entity, batch_feature_view

user = Entity("user", keys={{"user_id": "int64"}}, owner="bench@example.com")
events = BatchSource("events", table="raw.events", timestamp="ts", owner="bench@example.com")


@batch_feature_view(
    entities=[user], sources=[events], schedule="1h", start="{start:%Y-%m-%d}",
    owner="bench@example.com", online=False,
    features=[
        Aggregate("count", windows={windows}),
        Aggregate("sum", "amount", windows={windows}),
        Aggregate("max", "amount", windows={windows}),
    ],
)
def spending(events):
    return f"SELECT user_id, ts, amount FROM {{events}}"
"""
EVENTS = """
SELECT k.user_id, TIMESTAMP '{since:%Y-%m-%d}' + to_hours(t.h)
    + to_seconds(CAST(random() * 3599 AS BIGINT)) AS ts,
  CAST(random() * 1000 AS BIGINT) AS amount
FROM range({keys}) AS k(user_id), range(CAST({hours} AS BIGINT)) AS t(h)
WHERE random() < {active} ORDER BY ts
"""


@dataclass(frozen=True)
class Case:
    """A view with so many keys, of which a share has an event in an hour, and its windows."""

    name: str
    keys: int
    active: float
    days: int
    windows: tuple[str, ...]

    @property
    def start(self) -> datetime:
        """The view's start."""
        return END.replace(hour=0) - timedelta(days=self.days)

    @property
    def hours(self) -> list[int]:
        """The lengths of the windows."""
        return [int(w[:-1]) * {"h": 1, "d": 24}[w[-1]] for w in self.windows]

    @property
    def definitions(self) -> str:
        """The file of definitions."""
        return DEFINITIONS.format(start=self.start, windows=json.dumps(self.windows))

    @property
    def events(self) -> str:
        """A query of DuckDB's for the raw rows."""
        since = self.start - timedelta(hours=max(self.hours))
        hours = (END - since) // HOUR
        return EVENTS.format(since=since, keys=self.keys, hours=hours, active=self.active)


WEEK = Case("1,000 keys, 7d", 1000, 0.7, 31, ("1h", "24h", "7d"))
MONTH = Case("250 keys, 30d", 250, 0.7, 38, ("1h", "24h", "30d"))
SPARSE = Case("10,000 keys, 1 % active, 7d", 10_000, 0.01, 20, ("1h", "24h", "7d"))
CASES = (WEEK, MONTH, SPARSE)


@dataclass
class Hours:
    """What some hourly runs did.

    Attributes:
        dialect: Of the warehouse.
        reads: The rows that they read.
        written: The rows that they wrote, by statement.
        statements: How many they ran altogether.
        moving: The tiles that entered or left a window.
        seconds: The time of the fastest hour.
        first: The time of all that was computed before.
    """

    dialect: str
    reads: Reads = field(default_factory=Reads)
    written: dict[str, int] = field(default_factory=dict)
    statements: int = 0
    moving: int = 0
    seconds: float = 0.0
    first: float = 0.0

    def wrote(self, statement: str, rows: int) -> None:
        """Count the rows that a statement wrote."""
        self.written[statement] = self.written.get(statement, 0) + max(rows, 0)


class Profiled:
    """Runs statements like the embedded warehouse, and counts what each reads."""

    dialect = "duckdb"

    def __init__(self, warehouse: Warehouse, hours: Hours) -> None:
        self._warehouse = warehouse
        self._hours = hours
        self._running = ""
        plain: duckdb.DuckDBPyConnection = vars(warehouse)["_connection"]
        self._connection = Profiler(plain, hours.reads, lambda: self._running)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`."""
        self._connection.execute("BEGIN")
        for statement in statements:
            self._running = statement.name
            rows = self._connection.execute(statement.sql).fetchall()
            self._hours.statements += 1
            self._hours.wrote(statement.name, rows[0][0] if rows and rows[0] else 0)
        self._connection.execute("COMMIT")
        return [-1 for _ in statements]


def on_duckdb(case: Case, folder: Path) -> Hours:
    """The last hours of a case in the embedded warehouse."""
    hours = Hours("duckdb")
    load = f"SELECT setseed(0.5); CREATE TABLE raw.events AS {case.events}"
    made = projects.make(folder, case.definitions, load, f"{END:%Y-%m-%dT%H:%M:%SZ}")
    with ControlPlane(made) as plane:
        connection = vars(plane.project.warehouse)["_connection"]
        _begin(case, plane, hours)
        warehouse = Profiled(plane.project.warehouse, hours)
        _each_hour(plane, warehouse, hours)
        [[hours.moving]] = connection.execute(_moving(case, _table(connection))).fetchall()
    return hours


def on_snowflake(case: Case, folder: Path) -> Hours:
    """The last hours of a case on Snowflake's endpoint, which prunes by literals alone."""
    hours = Hours("snowflake")

    def wrapped(connection: duckdb.DuckDBPyConnection) -> Profiler:
        connection.execute(LITERALS_ONLY)
        return Profiler(connection, hours.reads, running)

    def running() -> str:
        history = endpoint.account.history
        return _statement(history[-1].tag) if history else ""

    folder.mkdir(parents=True)
    with SnowflakeEndpoint(str(folder / "account.duckdb"), wrapped=wrapped) as endpoint:
        options = endpoint.options()
        os.environ["BENCH_SNOWFLAKE_TOKEN"] = options.pop("token")
        with_token = "".join(f", {name} = {json.dumps(value)}" for name, value in options.items())
        root = endpoint.account.open()
        root.execute('CREATE SCHEMA "PLANE"."RAW"')
        root.execute("SELECT setseed(0.5)")
        named = 'SELECT user_id AS "USER_ID", ts AS "TS", amount AS "AMOUNT"'
        root.execute(f'CREATE TABLE "PLANE"."RAW"."EVENTS" AS {named} FROM ({case.events}) AS e')
        made = projects.make_elsewhere(
            folder / "project",
            case.definitions,
            f'{{ kind = "snowflake", token = "${{BENCH_SNOWFLAKE_TOKEN}}"{with_token} }}',
            f"{END:%Y-%m-%dT%H:%M:%SZ}",
        )
        with ControlPlane(made) as plane:
            _begin(case, plane, hours)
            first = _each_hour(plane, plane.project.warehouse, hours, endpoint.account.history)
            for query in endpoint.account.history[first:]:
                hours.statements += 1
                hours.wrote(_statement(query.tag), query.result.total if query.result else 0)
        [[hours.moving]] = root.sql(_moving(case, _table(root))).fetchall()
    return hours


def _statement(tag: str) -> str:
    return str(json.loads(tag or "{}").get("statement", ""))


def _begin(case: Case, plane: ControlPlane, hours: Hours) -> None:
    """Deploy, and compute all but the last hours."""
    plane.deploy()
    started = time.perf_counter()
    plane.run(within=Interval(case.start, END - (HOURS + 2) * HOUR))
    hours.first = time.perf_counter() - started


def _each_hour(
    plane: ControlPlane, warehouse: Warehouse, hours: Hours, history: Sequence[object] = ()
) -> int:
    """Compute the last hours one by one, the first two of them not measured.

    How many statements were in the history before those that are.
    """
    manifest = plane.deployed()[1]
    [view] = manifest.views
    program, sql = build(manifest, view), render_view(manifest, view)
    texts: Mapping[str, str] = {name: getattr(sql, name) for name in FILES}
    times = []
    for back in (HOURS + 2, HOURS + 1):
        hour = Interval(END - back * HOUR, END - (back - 1) * HOUR)
        started = time.perf_counter()
        materialize(program, texts, plane.project.warehouse, hour)
        times.append(time.perf_counter() - started)
    hours.reads.rows.clear()
    first = len(history)
    for back in range(HOURS, 0, -1):
        hour = Interval(END - back * HOUR, END - (back - 1) * HOUR)
        materialize(program, texts, warehouse, hour)
    hours.seconds = min(times)
    return first


def _table(connection: duckdb.DuckDBPyConnection) -> str:
    """The quoted name of the view's tiles."""
    names = connection.sql(
        "SELECT database_name, schema_name, table_name FROM duckdb_tables()"
        " WHERE lower(table_name) LIKE 'spending\\_\\_tiles\\_\\_%' ESCAPE '\\'"
    ).fetchall()
    [name] = names
    return ".".join(f'"{part}"' for part in name)


def _moving(case: Case, tiles: str) -> str:
    """A query for the number of tiles that entered or left a window in the last hours."""
    ranges = [
        f"SELECT count(*) AS tiles FROM {tiles} WHERE tile_start >= TIMESTAMP"
        f" '{END - (HOURS + back) * HOUR:%F %T}'"
        f" AND tile_start < TIMESTAMP '{END - back * HOUR:%F %T}'"
        for back in (0, *case.hours)
    ]
    return f"SELECT CAST(sum(tiles) AS BIGINT) FROM ({' UNION ALL '.join(ranges)}) AS r"


def compared(case: Case, hours: Hours) -> Iterator[Row]:
    """The rows of one case in one warehouse."""
    name = f"{hours.dialect}, {case.name}"
    history = hours.reads.of("history")
    written = sum(rows for statement, rows in hours.written.items() if _writes_history(statement))
    yield Row(
        f"{name}: rows of the history that an hour reads",
        history / HOURS,
        max(written, 1) / HOURS,
        "rows of it that an hour writes",
        2,
        "rows",
    )
    what = "tiles that enter or leave a window"
    if case is SPARSE:
        read, target, label = hours.reads.of(), 20, "rows of all tables that an hour reads"
    else:
        read, target = hours.reads.of("tiles", "rollups"), 8
        label = "tiles and rollups that an hour reads"
    yield Row(f"{name}: {label}", read / HOURS, hours.moving / HOURS, what, target, "rows")
    if hours.dialect == "snowflake":
        what = "statements that are enough"
        yield Row(f"{name}: statements of an hour", hours.statements / HOURS, 12, what, 1, "")


def _writes_history(statement: str) -> bool:
    return statement in ("insert the changed history", "change the history")


def table(hours: Hours) -> Iterator[str]:
    """Each statement of an hour with the rows that it read of each table and wrote."""
    names = dict.fromkeys([*hours.written, *(statement for statement, _ in hours.reads.rows)])
    for name in names:
        read = ", ".join(
            f"{part} {rows // HOURS:,}"
            for (statement, part), rows in hours.reads.rows.items()
            if statement == name
        )
        yield f"    {name:50} wrote {hours.written.get(name, 0) // HOURS:>8,}  read {read}"


def rows(temporary: Path) -> Iterator[Row]:
    """All cases in all warehouses."""
    yield from _rows(temporary, CASES, ("duckdb", "snowflake"))


def _rows(folder: Path, cases: Sequence[Case], dialects: Sequence[str]) -> Iterator[Row]:
    for case in cases:
        for dialect in dialects:
            made = folder / f"{dialect}_{CASES.index(case)}"
            hours = (on_duckdb if dialect == "duckdb" else on_snowflake)(case, made)
            print("\n".join(table(hours)))
            yield Row(
                f"{dialect}, {case.name}: one hour",
                hours.seconds,
                hours.first,
                f"the {case.days} days before it at once",
                0.2 if dialect == "duckdb" and case is WEEK else None,
            )
            yield from compared(case, hours)


def main() -> None:
    """Measure some cases, for the work on a run's statements."""
    from bench.rows import report  # lazy: only this program prints

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="*", type=int, default=range(len(CASES)))
    parser.add_argument("--dialect", nargs="*", default=["duckdb", "snowflake"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plane-bench-") as temporary:
        list(report(_rows(Path(temporary), [CASES[n] for n in asked.case], asked.dialect)))


if __name__ == "__main__":
    main()
