"""What a task of Airflow does where another environment or warehouse has taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.airflow.work import Run
from controlplane.base.naming import claim_hash
from controlplane.base.ports import Statement
from controlplane.control import identity, migrations, owners
from controlplane.control.owners import Owner
from controlplane.errors import PermanentError
from controlplane.online.records import Claim, write_claim
from controlplane.release.variables import fill
from controlplane.sql.dialects import DUCKDB
from controlplane.workspace import connectors
from tests.airflow.conftest import execute, open_warehouse, query

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own, and what it imports
    pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning"),
]
NOW = datetime(2013, 1, 3, tzinfo=UTC)


def run_of(deployed: Any) -> Run:
    """A run of one hour of one view, as a task makes it."""
    dag_run = SimpleNamespace(
        logical_date=None, run_after=datetime(2026, 1, 1, tzinfo=UTC), conf={}
    )
    context: Any = {
        "dag_run": dag_run,
        "run_id": "taken over",
        "partition_key": "2013-01-01T06:00:00",
        "partition_date": None,
        "ti": SimpleNamespace(dag_id="flights", task_id="stage", try_number=1),
    }
    return Run(str(deployed.folder / "airport_delays.json"), context)


@pytest.fixture
def taken_over() -> Iterator[None]:
    """Another environment owns the schema."""
    other = Owner("features", "flights", "alice", 1, "digest", "ann@laptop", NOW)
    with closing(open_warehouse()) as warehouse:
        warehouse.execute([*owners.prepare(DUCKDB), owners.record(DUCKDB, other)])
    yield
    execute("DROP TABLE _plane.owners")


def test_a14_a_stale_environment_stages_nothing(deployed: Any, taken_over: None) -> None:
    """Case A14: the DAGs of an environment whose schema was taken over are refused."""
    run = run_of(deployed)
    sql = fill(deployed.release.files["sql/airport_delays.stage.sql"], run.variables)
    with closing(open_warehouse()) as warehouse, pytest.raises(PermanentError) as refused:
        run.stage(warehouse, sql)
    assert "it belongs to environment 'alice' of project 'flights'" in refused.value.message
    stages = "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
    assert query(stages) == []


@pytest.mark.parametrize(("version", "remedy"), [(0, "plane deploy"), (2, "update controlplane")])
def test_a_worker_of_another_version_stages_nothing(
    deployed: Any, version: int, remedy: str
) -> None:
    """The image of the workers is older or newer than the last deploy."""
    run = run_of(deployed)
    sql = fill(deployed.release.files["sql/airport_delays.stage.sql"], run.variables)
    with closing(open_warehouse()) as warehouse:
        warehouse.execute(owners.prepare(DUCKDB))
        migrations.upgrade(warehouse, now=NOW)
        changed = f"UPDATE _plane.schema_version SET version = {version}"
        warehouse.execute([Statement("another version", changed)])
        with pytest.raises(PermanentError, match=f"version {version} of the control") as refused:
            run.stage(warehouse, sql)
    execute("DROP TABLE _plane.schema_version", "DROP TABLE _plane.owners")
    assert remedy in refused.value.hint


def test_a9_a_shard_of_another_warehouse_writes_nothing(deployed: Any, valkey_url: str) -> None:
    """Case A9: the shards of a sync, and a sync in one piece, compare the warehouse's identity."""
    run = run_of(deployed)
    namespace = deployed.manifest.namespace
    sql = deployed.release.files["sql/airport_delays.sync.sql"]
    with closing(connectors.open_store({"url": f"{valkey_url}/1"})) as store:
        write_claim(store, namespace, Claim("elsewhere", "features", "w", "ann@laptop", "2013"))
        begun, _ = run.begin_sync("plane_online", 2)
        before = dict(store.get_fields(claim_hash(namespace)))
        try:
            with closing(open_warehouse()) as warehouse:
                identity.ensure(warehouse, made_by="bob@laptop", now=NOW)
                with pytest.raises(PermanentError, match="holds the values of warehouse elsewhere"):
                    run.write_shard(warehouse, "plane_online", sql, begun, 0)
                with pytest.raises(PermanentError, match="holds the values of warehouse elsewhere"):
                    run.sync(warehouse, "plane_online", sql)
            assert store.get_fields(claim_hash(namespace)) == before
        finally:
            store.remove([claim_hash(namespace)])
            execute("DROP TABLE _plane.identity")
