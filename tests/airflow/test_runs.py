"""Runs of the rendered DAGs in Airflow's own process: what lies in the warehouse and in Redis
afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent, AssetModel
from airflow.sdk import DagRunState
from airflow.utils.db import initdb
from airflow.utils.session import create_session

from controlplane.airflow.work import Run
from controlplane.base import naming
from controlplane.base.naming import partition_key
from controlplane.errors import PermanentError
from controlplane.workspace import connectors
from tests.airflow.conftest import (
    AIRPORTS,
    BUNDLES,
    DELAYS,
    WAREHOUSE,
    Deployed,
    context,
    deploy,
    execute,
    online,
    open_warehouse,
    query,
    sharded_manifest,
)

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own, and what it imports
    pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning"),
]


@pytest.fixture(scope="module")
def dags(deployed):
    initdb()
    bag = DagBag(dag_folder=str(deployed.folder), bundle_name="plane", bundle_path=deployed.folder)
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture
def store(valkey_url):
    store = connectors.open_store({"url": f"{valkey_url}/1"})
    yield store
    store.close()


def ledger(view: str) -> list[tuple]:
    return query(
        "SELECT CAST(interval_start AS VARCHAR), CAST(interval_end AS VARCHAR), row_count FROM _plane.ledger "
        f"WHERE feature_view = 'features.{view}' ORDER BY version"
    )


def states(run) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def stages() -> list[tuple]:
    return query(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
    )


ALL = {"stage", "check", "publish", "unstage", "sync", "announce"}


def test_a_manual_run_computes_the_last_interval(dags, deployed, store):
    run = dags[DELAYS].test(logical_date=None)
    assert run.state == DagRunState.SUCCESS
    assert states(run) == dict.fromkeys(ALL, "success")
    assert ledger("airport_delays")[-1] == ("2013-01-02 23:00:00", "2013-01-03 00:00:00", 2)
    assert stages() == []
    view = deployed.manifest.view("airport_delays")
    serving = store.get_fields(naming.serving_hash(deployed.manifest.namespace))
    assert serving[b"airport_delays"] == view.fingerprint.encode()


def test_a_range_is_computed_at_once(dags, deployed, store):
    run = dags[DELAYS].test(
        logical_date=None, run_conf={"start": "2013-01-01", "end": "2013-01-03"}
    )
    assert run.state == DagRunState.SUCCESS
    assert ledger("airport_delays")[-1] == ("2013-01-01 00:00:00", "2013-01-03 00:00:00", 96)
    rows = query(
        "SELECT origin, count_1h, count_1d, delay_sum_2h, last_tail FROM features.airport_delays__latest"
    )
    assert sorted(rows) == [(airport, 1, 24, 46 + 47, "N47") for airport in AIRPORTS]
    for value in online(store, deployed, "airport_delays").values():
        assert value is not None
        assert value.values == (1, 24, 46 + 47, "N47")


def test_the_ui_shows_the_statements_that_ran(dags):
    [stage] = [task for task in dags[DELAYS].tasks if task.task_id == "stage"]
    rendered = stage.prepare_for_execution()
    rendered.render_template_fields(context("2013-01-01T06:00:00"))
    assert "TIMESTAMP '2013-01-01 06:00:00.000000'" in rendered.sql
    assert "{{" not in rendered.sql
    assert "stage__airport_delays__" in rendered.sql


def test_a_static_view_and_one_that_reads_a_view(dags):
    for name in ("airport_size", "airport_days"):
        run = dags[f"flights.local.{name}"].test(
            logical_date=None, run_conf={"start": "2013-01-01", "end": "2013-01-03"}
        )
        assert run.state == DagRunState.SUCCESS
    assert query("SELECT origin, gates FROM features.airport_size__latest ORDER BY 1") == [
        ("JFK", 4),
        ("LGA", 7),
    ]
    assert query("SELECT DISTINCT count_1d_max_1d FROM features.airport_days ORDER BY 1 NULLS LAST")


@pytest.fixture(scope="module")
def sharded(deployed) -> Deployed:
    return deploy(sharded_manifest(WAREHOUSE, 3), BUNDLES["sharded"], WAREHOUSE)


def test_a_sync_in_shards_is_announced_once(dags, sharded, store):
    bag = DagBag(dag_folder=str(sharded.folder), bundle_name="sharded", bundle_path=sharded.folder)
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    run = dag.test(logical_date=None, run_conf={"start": "2013-01-01", "end": "2013-01-03"})
    assert run.state == DagRunState.SUCCESS
    found = run.get_task_instances()
    assert {ti.task_id for ti in found} == ALL | {"begin_sync"}
    shards = {ti.map_index: ti.rendered_map_index for ti in found if ti.task_id == "sync"}
    assert shards == {0: "shard 0", 1: "shard 1", 2: "shard 2"}
    for value in online(store, sharded, "airport_delays").values():
        assert value is not None
        assert value.values == (1, 24, 46 + 47, "N47")
    with create_session() as session:
        events = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        announced = {
            part: [
                (event.partition_key, event.source_task_id, event.source_map_index)
                for event in events.filter(
                    AssetModel.uri == f"plane://flights/sharded/airport_delays/{part}"
                )
            ]
            for part in ("offline", "online")
        }
    hours = [
        partition_key(datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour))
        for hour in range(48)
    ]
    assert sorted(announced["online"]) == [(hour, "announce", -1) for hour in hours]
    assert len(announced["offline"]) == len(hours)
    view = sharded.manifest.view("airport_delays")
    assert (
        store.get_fields(naming.serving_hash(sharded.manifest.namespace))[b"airport_delays"]
        == view.fingerprint.encode()
    )


def test_the_end_of_a_sync_in_shards(sharded, store):
    """A shard without a report moves no cursor, and a store that has lost values is filled by the
    end itself."""
    run = Run(str(sharded.folder / "airport_delays.json"), context("2013-01-01T06:00:00"))
    view = sharded.manifest.view("airport_delays")
    name = naming.cursor_hash(sharded.manifest.namespace, view.name, view.fingerprint)
    sql = sharded.release.files["sql/airport_delays.sync.sql"]
    before = online(store, sharded, "airport_delays")
    warehouse = open_warehouse()
    try:
        store.remove([name])
        begun, warnings = run.begin_sync("plane_online", 2)
        assert warnings == []
        reports = [run.write_shard(warehouse, "plane_online", sql, begun, 0)]
        with pytest.raises(
            PermanentError, match="of 2 shards of the sync these have not been written: 1"
        ):
            run.end_sync(warehouse, "plane_online", sql, begun, reports)
        with pytest.raises(PermanentError, match="the result of task 'sync' is missing"):
            run.end_sync(warehouse, "plane_online", sql, begun, [*reports, None])
        with pytest.raises(PermanentError, match="the result of task 'begin_sync' is missing"):
            run.write_shard(warehouse, "plane_online", sql, None, 1)
        assert b"version" not in store.get_fields(name)
        prefix = naming.online_prefix(sharded.manifest.namespace, view.name, view.fingerprint)
        store.remove([name, *(key for some in store.keys(prefix) for key in some)])
        reports.append(run.write_shard(warehouse, "plane_online", sql, begun, 1))
        synced, lost = run.end_sync(warehouse, "plane_online", sql, begun, reports)
    finally:
        warehouse.close()
    assert (
        lost == "feature view 'airport_delays': the online store lost values while it was written"
    )
    assert synced["written"] == len(AIRPORTS)
    assert online(store, sharded, "airport_delays") == before
    assert int(store.get_fields(name)[b"version"]) == synced["version"]


def test_what_is_not_met_is_told_and_blocks_only_where_it_should(dags, capsys):
    whole = {"start": "2013-01-01", "end": "2013-01-03"}
    run = dags[DELAYS].test(logical_date=None, run_conf=whole)
    assert run.state == DagRunState.SUCCESS
    assert "feature view airport_delays: delay <= 46: 2 of 96 fail (47)" in capsys.readouterr().out
    before = ledger("airport_size")
    execute("INSERT INTO raw.airports VALUES ('EWR', NULL)")
    try:
        run = dags["flights.local.airport_size"].test(logical_date=None, run_conf=whole)
    finally:
        execute("DELETE FROM raw.airports WHERE origin = 'EWR'")
    assert (run.state, states(run)["check"], states(run)["publish"]) == (
        "failed",
        "failed",
        "upstream_failed",
    )
    assert "source airports, not_null(gates): 1 of 3 fail" in capsys.readouterr().out
    assert (ledger("airport_size"), stages()) == (before, [])
    failed = "SELECT source, name, row_count, failed_count FROM _plane.metrics WHERE NOT passed AND severity = 'error'"
    assert query(failed) == [("airports", "not_null(gates)", 3, 1)]


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"start": "2013-01-01T00:30:00Z", "end": "2013-01-02"}, "not made of whole intervals"),
        ({"start": "2013-01-02", "end": "2013-01-04"}, "is not due"),
        ({"start": "2012-12-31", "end": "2013-01-01"}, "begins before the view's start"),
        ({"start": "2013-01-01"}, "has no end"),
        ({"starts": "2013-01-01", "ends": "2013-01-03"}, "unknown keys: starts, ends"),
        ({"start": "2013-01-01", "end": "2013-01-03", "dry_run": True}, "unknown keys: dry_run"),
        ({"partition": "2013-01-01T00:00:00"}, "its keys are start and end"),
    ],
)
def test_a_wrong_range_fails_at_once_and_says_why(dags, conf, message, capsys):
    """Case B8: a key that means nothing made the run compute the last interval, successfully."""
    before = ledger("airport_delays")
    run = dags[DELAYS].test(logical_date=None, run_conf=conf)
    assert run.state == DagRunState.FAILED
    assert message in capsys.readouterr().out
    [stage] = [ti for ti in run.get_task_instances() if ti.task_id == "stage"]
    assert (stage.state, stage.try_number) == ("failed", 1)
    assert ledger("airport_delays") == before


def test_what_the_check_refuses_is_neither_published_nor_synced(dags):
    before = ledger("airport_delays")
    execute(
        "UPDATE raw.departures SET origin = NULL WHERE departed_at >= TIMESTAMP '2013-01-02 23:00:00'"
    )
    try:
        run = dags[DELAYS].test(logical_date=None)
    finally:
        execute(
            "UPDATE raw.departures SET origin = 'JFK' WHERE origin IS NULL",
        )
    assert run.state == DagRunState.FAILED
    by_task = states(run)
    assert by_task["stage"] == "success"
    assert by_task["check"] == "failed"
    assert by_task["publish"] == by_task["sync"] == by_task["announce"] == "upstream_failed"
    assert by_task["unstage"] == "success"
    [check] = [ti for ti in run.get_task_instances() if ti.task_id == "check"]
    assert check.try_number == 1
    assert ledger("airport_delays") == before
    assert stages() == []


def test_a_source_that_has_changed_fails_before_anything_is_written(dags):
    before = ledger("airport_delays")
    execute("ALTER TABLE raw.departures ALTER delay TYPE DOUBLE")
    try:
        run = dags[DELAYS].test(logical_date=None)
    finally:
        execute("ALTER TABLE raw.departures ALTER delay TYPE BIGINT")
    assert run.state == DagRunState.FAILED
    [stage] = [ti for ti in run.get_task_instances() if ti.task_id == "stage"]
    assert (stage.state, stage.try_number) == ("failed", 1)
    assert ledger("airport_delays") == before
    assert stages() == []
