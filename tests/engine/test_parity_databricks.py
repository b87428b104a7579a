"""Databricks gives the rows that the embedded warehouse gives; `make parity` looks at more."""

from __future__ import annotations

import pytest
import redis

from connectors.redis.store import connect
from controlplane.base.ports import Statement
from controlplane.errors import PermanentError, TransientError
from controlplane.sql.dialects import DIALECTS
from tests.engine import examples, staged
from tests.engine.engines import empty, run
from tests.engine.meddled import Meddled
from tests.engine.parity import content, opened
from tests.engine.rig import Rig, records
from tests.engine.shapes import SHAPES, Form
from tests.engine.test_kill import BEFORE, COLUMNS, DAY, START, subject
from tests.materialize.test_shards import Online, same_as_one
from tests.verification.functions import differing

SQL = {shape.name: shape for shape in SHAPES}


def test_an_example_on_databricks(databricks, tmp_path):
    """The view with the most kinds of features.

    `make parity ENGINES=databricks` computes all of every example.
    """
    with (
        opened("databricks", databricks) as (warehouse, options),
        examples.raw_tables(tmp_path) as raw,
    ):
        found = examples.compare(
            "05-warehouses", warehouse, options, raw, tmp_path, ["airport_delays"]
        )
    assert [view.view for view in found.views] == ["airport_delays"]
    assert found.equal, found
    assert all(table.compared for view in found.views for table in view.tables)


def test_an_account_that_is_in_use_is_left_alone(databricks, monkeypatch):
    monkeypatch.setenv("CONTROLPLANE_LIVE_DATABRICKS", databricks.address)
    monkeypatch.setenv("CONTROLPLANE_LIVE_DATABRICKS_TOKEN", databricks.token)
    with opened("databricks") as (warehouse, _):
        run(warehouse, "CREATE SCHEMA raw", "CREATE TABLE raw.theirs (one BIGINT)")
        try:
            with pytest.raises(PermanentError, match="raw"), opened("databricks"):
                pass
            assert warehouse.columns(["raw.theirs"])["raw.theirs"] == {"one": "int64"}
            run(warehouse, "CREATE SCHEMA features")
        finally:
            empty(warehouse)


@pytest.mark.parametrize(
    "form",
    [
        Form(SQL["join, time expression"], DAY),
        Form(SQL["window function"], None),
        Form(SQL["EXISTS, bounds"], DAY),
    ],
    ids=lambda form: form.shape.name,
)
def test_databricks_stages_the_rows_of_brute_force(databricks, form):
    """Cases A1 and A2 and their kind: an interval sees what it would see alone."""
    case = staged.case_of(form, 3)
    with opened("databricks", databricks) as (warehouse, _):
        assert staged.staged(case, warehouse) == staged.by_brute_force(case)


def test_python_functions_on_databricks(databricks):
    with opened("databricks", databricks) as (warehouse, _):
        try:
            assert differing(warehouse) == []
        finally:
            empty(warehouse)


def test_keys_of_every_type_are_scattered_over_shards(databricks):
    keys = (
        "CAST(id AS STRING)",
        "id",
        "id % 2 = 0",
        "DATE_ADD(DATE '2024-01-01', CAST(id AS INT))",
        "TIMESTAMP_MICROS(id)",
        "CAST(CAST(id AS STRING) AS BINARY)",
        "CAST(id AS DECIMAL(38, 9))",
        "CAST(NULL AS STRING)",
    )
    shard = DIALECTS["databricks"].shard_of(keys, 3)
    with opened("databricks", databricks) as (warehouse, _):
        found = records(
            warehouse,
            f"SELECT {shard} AS shard, COUNT(*) AS keys FROM RANGE(60) GROUP BY 1 ORDER BY 1",
        )
    assert [row["shard"] for row in found] == [0, 1, 2]
    assert min(row["keys"] for row in found) > 10


def test_a_run_that_another_overtakes_on_databricks(databricks, valkey_url):
    """It says so, and when it is run again all is there once, though every statement is sent twice.
    What is there is brought online by several shards as by one."""
    with (
        opened("databricks", databricks) as (warehouse, _),
        Rig(subject, COLUMNS, rows=BEFORE) as right,
    ):
        try:
            rig = Rig(subject, COLUMNS, warehouse=warehouse, rows=BEFORE)
            head = rig.program.head

            def overtaken(statement: Statement) -> list[Statement]:
                other = Statement(
                    "another's", f"UPDATE {head} SET version = version + 1, run_id = 'another'"
                )
                late = statement.name == "insert the changed history"
                return [other, statement] if late else [statement]

            rig.warehouse = Meddled(warehouse, overtaken)
            with pytest.raises(TransientError, match="took over before this run was complete"):
                rig.materialize(START, START + 2 * DAY)
            assert rig.table("history") == rig.table("latest") == []
            rig.warehouse = Meddled(warehouse, lambda statement: [statement] * 2)
            rig.materialize(START, START + 2 * DAY)
            right.materialize(START, START + 2 * DAY)
            assert content(rig) == content(right)
            assert len(records(warehouse, "SELECT version FROM _plane.ledger")) == 1
            rig.warehouse = warehouse
            with redis.Redis.from_url(valkey_url, protocol=2) as raw:
                assert sum(same_as_one(Online(rig, connect(url=valkey_url), raw), 3)) == len(
                    content(right)["latest"]
                )
        finally:
            empty(warehouse)
