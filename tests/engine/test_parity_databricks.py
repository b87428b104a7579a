"""Databricks gives the rows that the embedded warehouse gives; `make parity` looks at more."""

from __future__ import annotations

import pytest

from controlplane.errors import PermanentError, TransientError
from controlplane.ports import Statement
from tests.engine import examples
from tests.engine.engines import empty, run
from tests.engine.meddled import Meddled
from tests.engine.parity import content, opened
from tests.engine.rig import Rig, records
from tests.engine.test_kill import BEFORE, COLUMNS, DAY, START, subject
from tests.verification.functions import differing


def test_an_example_on_databricks(databricks, tmp_path):
    with (
        opened("databricks", databricks) as (warehouse, options),
        examples.raw_tables(tmp_path) as raw,
    ):
        found = examples.compare("05-warehouses", warehouse, options, raw, tmp_path)
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


def test_python_functions_on_databricks(databricks):
    with opened("databricks", databricks) as (warehouse, _):
        try:
            assert differing(warehouse) == []
        finally:
            empty(warehouse)


def test_a_run_that_another_overtakes_on_databricks(databricks):
    """It says so, and when it is run again all is there once, though every statement is sent twice."""
    with opened("databricks", databricks) as (warehouse, _), Rig(subject, COLUMNS, rows=BEFORE) as right:
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
