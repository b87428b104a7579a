"""A view's run as one task: the tables of six tasks, retries from the step that failed, kills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent, AssetModel
from airflow.sdk import DagRunState
from airflow.utils.db import initdb
from airflow.utils.session import create_session

from controlplane.errors import CheckFailed, TransientError
from controlplane.workspace import connectors
from tests.airflow.conftest import (
    BUNDLES,
    DELAYS,
    WAREHOUSE,
    Deployed,
    deploy,
    execute,
    lean_manifest,
    load_data,
    online,
    query,
)
from tests.airflow.lean_task import RANGE, STEPS, attempt, context_of, task_of

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own, and what it imports
    pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning"),
]
PARTS = ("tiles", "history", "latest")


def tables(deployed: Deployed) -> list[list[str]]:
    """The rows of the view's tables, without versions and times of the runs."""
    view = deployed.manifest.view("airport_delays")
    schema = deployed.manifest.schema
    return [
        sorted(
            map(
                repr,
                query(
                    f"SELECT COLUMNS(lambda c: c NOT IN ('version', 'recorded_from')) FROM"
                    f" {schema}.airport_delays__{part}__{view.fingerprint}"
                ),
            )
        )
        for part in PARTS
    ]


def stages() -> list[tuple[Any, ...]]:
    return query(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
    )


@pytest.fixture(scope="module")
def lean(deployed) -> Deployed:
    return deploy(lean_manifest(WAREHOUSE), BUNDLES["lean"], WAREHOUSE)


@pytest.fixture
def store(valkey_url):
    store = connectors.open_store({"url": f"{valkey_url}/1"})
    yield store
    store.close()


@pytest.fixture(scope="module")
def dags(deployed, lean):
    initdb()
    bags = [
        DagBag(dag_folder=str(d.folder), bundle_name=name, bundle_path=d.folder)
        for name, d in (("plane", deployed), ("lean", lean))
    ]
    assert all(bag.import_errors == {} for bag in bags)
    return {dag_id: dag for bag in bags for dag_id, dag in bag.dags.items()}


def test_one_task_leaves_the_tables_and_the_events_of_six(dags, deployed, lean, store):
    runs = [
        dags[dag_id].test(logical_date=None, run_conf=RANGE)
        for dag_id in (DELAYS, "flights.lean.airport_delays")
    ]
    assert [run.state for run in runs] == [DagRunState.SUCCESS] * 2
    assert [ti.task_id for ti in runs[1].get_task_instances()] == ["run"]
    assert tables(lean) == tables(deployed)
    assert stages() == []
    by_six, by_one = (
        [
            (value.effective_us, value.values)
            for value in online(store, d, "airport_delays").values()
            if value
        ]
        for d in (deployed, lean)
    )
    assert len(by_one) == 2
    assert by_one == by_six
    with create_session() as session:
        events = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        announced = [
            sorted(
                event.partition_key or ""
                for event in events.filter(
                    AssetModel.uri == f"plane://flights/lean/airport_delays/{part}"
                )
            )
            for part in ("offline", "online")
        ]
    assert announced[0] == announced[1]
    assert len(announced[0]) == 48


def test_the_result_shows_each_step(dags, lean, tmp_path):
    results = attempt(task_of(lean.folder), context_of(tmp_path / "state", 1, RANGE))
    assert list(results) == STEPS
    assert results["check"]["row_count"] == 96
    assert results["publish"]["frontier"] == "2013-01-03T00:00:00+00:00"


def test_a_retry_goes_on_with_the_step_that_failed(lean, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_PLANE_AWAY",
        json.dumps({"conn_type": "plane_redis", "host": "127.0.0.1", "port": 1}),
    )
    state = tmp_path / "state"
    with pytest.raises(TransientError):
        attempt(task_of(lean.folder, online_conn_id="plane_away"), context_of(state, 1, RANGE))
    results = attempt(task_of(lean.folder), context_of(state, 2, RANGE))
    assert list(results) == ["sync", "activate"]
    assert stages() == []
    # Cleared by a person, the task does all of it again.
    assert list(attempt(task_of(lean.folder), context_of(state, 3, RANGE, max_tries=5))) == STEPS


def test_the_last_try_and_one_that_a_retry_cannot_help_leave_no_stage(lean, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_PLANE_AWAY",
        json.dumps({"conn_type": "plane_redis", "host": "127.0.0.1", "port": 1}),
    )
    with pytest.raises(TransientError):
        attempt(
            task_of(lean.folder, online_conn_id="plane_away"),
            context_of(tmp_path / "last", 4, RANGE),
        )
    assert stages() == []
    before = tables(lean)
    execute("UPDATE raw.departures SET origin = NULL")
    try:
        with pytest.raises(CheckFailed, match="lack a key"):
            attempt(task_of(lean.folder), context_of(tmp_path / "null", 1, RANGE))
    finally:
        load_data(WAREHOUSE)
    assert stages() == []
    assert tables(lean) == before


@pytest.mark.parametrize("after", STEPS)
def test_a_kill_between_a_step_and_its_record_is_healed_by_the_next_try(lean, tmp_path, after):
    attempt(task_of(lean.folder), context_of(tmp_path / "whole", 1, RANGE))
    other = deploy(lean_manifest(WAREHOUSE, f"lean_{after}"), tmp_path, WAREHOUSE)
    state = tmp_path / "state"
    command = [
        sys.executable,
        "-m",
        "tests.airflow.lean_task",
        str(other.folder),
        str(state),
        after,
    ]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    results = attempt(task_of(other.folder), context_of(state, 2, RANGE))
    assert list(results) == STEPS[STEPS.index(after) :]
    assert tables(other) == tables(lean)
    assert stages() == []
