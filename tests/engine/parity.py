"""The same definitions on two warehouses: the same runs, and then their tables row by row.

The embedded warehouse's tables are those that `differential` compares with the oracle's.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.databricks import connect as connect_databricks
from connectors.duckdb.warehouse import connect
from connectors.snowflake.signin import connect as connect_snowflake
from controlplane.base.ports import Warehouse
from controlplane.errors import CheckFailed, PlaneError, Problems, TransientError
from controlplane.materialize import tasks
from controlplane.release.variables import fill, run_variables
from controlplane.verify.oracle import same
from tests.endpoints.databricks.client import DatabricksEndpoint
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.engine import cases
from tests.engine.capabilities import Counts, counted
from tests.engine.differential import (
    APART,
    FROM_SOURCE,
    INTERVALS,
    SELDOM,
    check_refused,
    compute,
    evaluation,
    instants,
    rig_of,
)
from tests.engine.engines import SCHEMAS, empty, run
from tests.engine.rig import Rig, interval, records
from tests.engine.test_kill import BEFORE, COLUMNS, DAY, START, subject

ENGINES = ("snowflake", "databricks")
TABLES = ("", "history", "latest")
_OF_THE_RUN = ("version", "recorded_from", "is_deleted")
Row = Mapping[str, Any]


@dataclass
class Parity:
    """What one case gave: rows compared, and those that differ.

    `refused` says why there is nothing to compare; `broken`, that what differs is an error of one
    of the two; `counts` says what was compared.
    """

    number: int
    rows: int = 0
    differing: list[str] = field(default_factory=list)
    refused: str = ""
    broken: bool = False
    counts: Counts = field(default_factory=Counter)


def live(engine: str) -> dict[str, Any]:
    """How the account is reached that the environment's variables name for the purpose.

    Empty where they don't.
    """
    if engine == "snowflake":
        connection = os.environ.get("CONTROLPLANE_LIVE_SNOWFLAKE")
        return {"connection_name": connection} if connection else {}
    url = os.environ.get("CONTROLPLANE_LIVE_DATABRICKS")
    return (
        {"url": url, "access_token": os.environ.get("CONTROLPLANE_LIVE_DATABRICKS_TOKEN")}
        if url
        else {}
    )


@contextmanager
def opened(
    engine: str, databricks: DatabricksEndpoint | None = None
) -> Iterator[tuple[Warehouse, dict[str, Any]]]:
    """A warehouse behind its vendor's own driver, and what its connector was given.

    It is the local endpoint's, or `live`; there the schemas that are made and dropped must not
    exist yet.
    """
    with ExitStack() as stack:
        options = live(engine)
        if not options and engine == "snowflake":
            options = stack.enter_context(SnowflakeEndpoint()).options()
        elif not options:
            assert databricks is not None
            options = databricks.options()
        warehouse = stack.enter_context(another(engine, options))
        if live(engine):
            _check_empty(warehouse)
        yield warehouse, options


@contextmanager
def another(engine: str, options: Mapping[str, Any]) -> Iterator[Warehouse]:
    """A session."""
    warehouse: Warehouse = (connect_snowflake if engine == "snowflake" else connect_databricks)(
        **options
    )
    try:
        yield warehouse
    finally:
        warehouse.close()


def _check_empty(warehouse: Warehouse) -> None:
    """Fail where a schema exists that would be dropped."""
    made = []
    try:
        for schema in SCHEMAS:
            run(warehouse, f"CREATE SCHEMA {schema}")
            made.append(schema)
    finally:
        for schema in made:
            run(warehouse, f"DROP SCHEMA {schema} CASCADE")


def play(
    number: int,
    theirs: Warehouse,
    intervals: tuple[int, ...] = INTERVALS,
    *,
    from_source: bool | None = None,
) -> Parity:
    """The case of a number on the embedded warehouse and on another one.

    Training sets `from_source` take as long as all the rest: unless told, one in so many cases has
    one. A warehouse that refuses it, since each interval has a statement of its own, must give from
    its tables what the embedded one gives from its sources.
    """
    inline = number % SELDOM[FROM_SOURCE] == 0 if from_source is None else from_source
    case = cases.case_of(number, 1.0, intervals)
    found = Parity(number)
    tolerance = {
        feature.name: cases.scale(case.view, case.returned, feature)
        for feature in case.view.features
    }
    ours = connect(path=":memory:")
    tables: list[dict[str, dict[tuple[Any, ...], Row]]] = []
    try:
        for warehouse in (ours, theirs):
            rig = rig_of(case, warehouse)
            compute(rig, case, random.Random(f"runs of {number}"))
            told = {name or "view": _rows(rig, name, case.view.keys) for name in TABLES}
            told["ledger"] = _ledger(rig)
            looks = [
                (key, at) for key in _keys(case) for at in instants(case, random.Random(number))
            ]
            told["training set"] = _numbered(rig.training_set(looks))
            if inline and evaluation(rig) == APART:
                check_refused(rig, looks)
                if tables and FROM_SOURCE in tables[0]:
                    told[FROM_SOURCE] = told["training set"]
            elif inline:
                told[FROM_SOURCE] = _numbered(rig.training_set(looks, from_source=True))
            tables.append(told)
    except (CheckFailed, Problems) as error:
        found.refused = str(error)
        return found
    except (PlaneError, AssertionError) as error:
        found.differing.append(f"{type(error).__name__}: {error}")
        found.broken = True
        return found
    finally:
        empty(theirs)
        ours.close()
    for name, expected in tables[0].items():
        rows = tables[1][name]
        found.rows += len(expected)
        for what, count in counted(case, name, list(expected.values())):
            found.counts[what] += count
        for key in sorted(expected.keys() | rows.keys(), key=repr):
            if not _alike(rows.get(key), expected.get(key), tolerance):
                found.differing.append(
                    f"{name} {key}: {rows.get(key)} where {expected.get(key)} is right"
                )
    return found


def two_at_once(theirs: Warehouse, options: Mapping[str, Any]) -> bool:
    """Two first runs of one interval that publish at the same moment.

    Whether they leave one copy of its rows.
    """
    with another(theirs.dialect, options) as other, Rig(subject, COLUMNS, rows=BEFORE) as right:
        try:
            rig = Rig(subject, COLUMNS, warehouse=theirs, rows=BEFORE)
            span = interval(START, START + 2 * DAY)
            meet = threading.Barrier(2, timeout=300)
            first_is_done = threading.Event()

            def write(number: int, session: Warehouse) -> None:
                """One run with a session of its own, tried again as a scheduler would: not both at
                the same moment."""
                run_id = f"run {number}"
                variables = run_variables(rig.program, span, run_id)
                filled = {
                    name: fill(rig.sql[name], variables) for name in ("stage", "publish", "unstage")
                }
                tasks.stage(rig.program, session, filled["stage"])
                meet.wait()
                while True:
                    try:
                        tasks.publish(rig.program, session, filled["publish"], run_id)
                        break
                    except TransientError:
                        if number == 1 and not first_is_done.wait(600):
                            raise
                if number == 0:
                    first_is_done.set()
                tasks.unstage(rig.program, session, filled["unstage"])

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(write, range(2), (theirs, other)))
            right.materialize(START, START + 2 * DAY)
            versions = {
                row["version"] for row in records(theirs, "SELECT version FROM _plane.ledger")
            }
            return (
                content(rig) == content(right)
                and len(versions) == 2
                and rig.head().version == max(versions)
            )
        finally:
            empty(theirs)


def content(rig: Rig) -> dict[str, list[tuple[Any, ...]]]:
    """What a view's tables say, whenever it was written."""
    found = {}
    for part in ("tiles", "history", "latest"):
        rows = [row for row in rig.table(part) if not row.get("is_deleted")]
        told = (
            tuple(value for name, value in row.items() if name not in _OF_THE_RUN) for row in rows
        )
        found[part] = sorted(told, key=repr)
    return found


def _numbered(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    return {(row["number"],): row for row in rows}


def _keys(case: cases.Case) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(row[key] for key in case.view.keys) for row in case.rows))


def _rows(rig: Rig, table: str, keys: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    rows = [row for row in rig.table(table) if not row.get("is_deleted")]
    by_key: dict[tuple[Any, ...], Row] = {
        (*(row[key] for key in keys), row["valid_from"]): row for row in rows
    }
    if len(by_key) != len(rows):
        raise AssertionError(
            f"{rig.d.name}: {table or 'the view'} holds {len(rows) - len(by_key)} rows twice"
        )
    return by_key


def _ledger(rig: Rig) -> dict[tuple[Any, ...], Row]:
    """Every run: its place, its interval and its rows."""
    columns = "interval_start, interval_end, row_count, dropped_count"
    rows = records(rig.warehouse, f"SELECT {columns} FROM {rig.program.ledger} ORDER BY version")
    return {(number,): row for number, row in enumerate(rows)}


def _alike(row: Row | None, expected: Row | None, tolerance: Mapping[str, float]) -> bool:
    if row is None or expected is None:
        return False
    names = [name for name in expected if name not in _OF_THE_RUN]
    return all(same(row[name], expected[name], tolerance.get(name, 0.0)) for name in names)
