"""Snowflake and Databricks give the rows that the embedded warehouse gives; `make parity` looks at more cases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from controlplane.errors import PermanentError, TransientError
from controlplane.ports import Statement, Warehouse
from controlplane.runtime import tasks
from controlplane.runtime.variables import fill, run_variables
from tests.engine import examples
from tests.engine.differential import SEEDS
from tests.engine.engines import empty, run
from tests.engine.meddled import Meddled
from tests.engine.parity import ENGINES, another, content, opened, play
from tests.engine.rig import Rig, interval, records
from tests.engine.test_kill import BEFORE, COLUMNS, DAY, START, subject

SEED = 4


def test_random_cases_on_snowflake():
    with opened("snowflake") as (warehouse, _):
        found = [play(SEED * SEEDS + number, warehouse) for number in range(5)]
    assert [difference for one in found for difference in one.differing] == []
    assert sum(one.rows for one in found) > 500


@pytest.mark.parametrize("name", ["02-windows", "03-training-sets", "04-feature-tests"])
def test_an_example_on_snowflake(name, tmp_path):
    with opened("snowflake") as (warehouse, options), examples.raw_tables(tmp_path) as raw:
        found = examples.compare(name, warehouse, options, raw, tmp_path)
    assert found.equal, found


def test_an_example_on_databricks(databricks_alone, tmp_path):
    with (
        opened("databricks", databricks_alone) as (warehouse, options),
        examples.raw_tables(tmp_path) as raw,
    ):
        found = examples.compare("05-warehouses", warehouse, options, raw, tmp_path)
    assert found.equal, found


def test_a_mistake_is_noticed():
    def without_the_newest(statement: Statement) -> list[Statement]:
        return [statement._replace(sql=statement.sql.replace("moment <= head.frontier", "moment < head.frontier"))]

    with opened("snowflake") as (warehouse, _):
        found = [play(SEED * SEEDS + number, Meddled(warehouse, without_the_newest)) for number in range(2)]
    assert sum(len(one.differing) for one in found) > 10


def test_a_random_case_on_databricks(databricks_alone):
    with opened("databricks", databricks_alone) as (warehouse, _):
        found = play(SEED * SEEDS, warehouse, intervals=(1,))
    assert (found.refused, found.differing) == ("", [])
    assert found.rows > 10


def test_an_account_that_is_in_use_is_left_alone(databricks_alone, monkeypatch):
    monkeypatch.setenv("CONTROLPLANE_LIVE_DATABRICKS", databricks_alone.address)
    monkeypatch.setenv("CONTROLPLANE_LIVE_DATABRICKS_TOKEN", databricks_alone.token)
    with opened("databricks") as (warehouse, _):
        run(warehouse, "CREATE SCHEMA raw", "CREATE TABLE raw.theirs (one BIGINT)")
        try:
            with pytest.raises(PermanentError, match="raw"), opened("databricks"):
                pass
            assert warehouse.columns(["raw.theirs"])["raw.theirs"] == {"one": "int64"}
            run(warehouse, "CREATE SCHEMA features")
        finally:
            empty(warehouse)


def test_a_run_that_another_overtakes_on_databricks(databricks_alone):
    """It says so, and when it is run again all is there once, though every statement is sent twice."""
    with opened("databricks", databricks_alone) as (warehouse, _), Rig(subject, COLUMNS, rows=BEFORE) as right:
        try:
            rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
            head = rig.program.head

            def overtaken(statement: Statement) -> list[Statement]:
                other = Statement("another's", f"UPDATE {head} SET version = version + 1, run_id = 'another'")
                return [other, statement] if statement.name == "change the history" else [statement]

            rig.warehouse = Meddled(warehouse, overtaken)
            with pytest.raises(TransientError, match="took over before this one was done"):
                rig.materialize(START, START + 2 * DAY)
            assert rig.table("history") == rig.table("latest") == []
            rig.warehouse = Meddled(warehouse, lambda statement: [statement] * 2)
            rig.materialize(START, START + 2 * DAY)
            right.materialize(START, START + 2 * DAY)
            assert content(rig) == content(right)
            assert len(records(warehouse, "SELECT version FROM _plane.ledger")) == 1
        finally:
            empty(warehouse)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_first_runs_at_the_same_moment_leave_one_copy(engine, request):
    databricks = request.getfixturevalue("databricks_alone") if engine == "databricks" else None
    with (
        opened(engine, databricks) as (warehouse, options),
        another(engine, options) as other,
        Rig(subject, COLUMNS, rows=BEFORE) as right,
    ):
        try:
            rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
            span = interval(START, START + 2 * DAY)
            meet = threading.Barrier(2, timeout=300)

            first_is_done = threading.Event()

            def write(number: int, session: Warehouse) -> None:
                """One run with a session of its own, tried again as a scheduler would: not both at the same moment."""
                run_id = f"run {number}"
                variables = run_variables(rig.program, span, run_id)
                filled = {name: fill(rig.sql[name], variables) for name in ("stage", "publish", "unstage")}
                tasks.stage(rig.program, session, filled["stage"])
                meet.wait()
                for _ in range(20):
                    try:
                        tasks.publish(rig.program, session, filled["publish"], run_id)
                    except TransientError:
                        assert number == 0 or first_is_done.wait(300)
                        continue
                    tasks.unstage(rig.program, session, filled["unstage"])
                    if number == 0:
                        first_is_done.set()
                    return
                raise AssertionError("it never got through")

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(write, range(2), (warehouse, other)))
            right.materialize(START, START + 2 * DAY)
            assert content(rig) == content(right)
            versions = [row["version"] for row in records(warehouse, "SELECT version FROM _plane.ledger")]
            assert len(set(versions)) == 2
            assert rig.head().version == max(versions)
        finally:
            empty(warehouse)
