"""One Airflow home for this folder's tests, and a small project that is deployed into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Statement, Warehouse
from controlplane.codec import Decoded, decode, online_key
from controlplane.compile.loader import load
from controlplane.compile.project import Target, compile_manifest
from controlplane.deploy.release_files import write_release
from controlplane.errors import TransientError
from controlplane.manifest.specs import Manifest
from controlplane.release import release
from controlplane.release.layout import layout
from controlplane.sql.statements import read
from controlplane.workspace import connectors
from tests.endpoints.databricks.fixture import databricks
from tests.servers import valkey_url

__all__ = ["databricks", "valkey_url"]

# Airflow reads its settings as it is imported, which the tests' own imports do.
HOME = Path(tempfile.mkdtemp(prefix="plane-airflow-"))
RELEASES = HOME / "releases-root"
WAREHOUSE = HOME / "warehouse.duckdb"
LOCK_TIMEOUT = 4  # seconds
# A bundle for each warehouse: a run in this process reads the whole bundle of its DAG.
BUNDLES = {"plane": RELEASES} | {
    name: HOME / name for name in ("snowflake", "databricks", "sharded", "lean")
}
_BUNDLES = [
    {
        "name": name,
        "classpath": "controlplane.airflow.bundle.ReleaseBundle",
        "kwargs": {"root": str(root)},
    }
    for name, root in BUNDLES.items()
]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(_BUNDLES),
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(HOME / "bundles"),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

AIRPORTS = ("JFK", "LGA")
DELAYS = "flights.local.airport_delays"
"""The DAG of one of the project's views."""
# Longer than the schedule: the last interval that ended is never due yet.
LIVE_DELAY = timedelta(minutes=90)
NOW = datetime(2013, 1, 3, 0, 30, tzinfo=UTC)
FEATURES = Path(__file__).with_name("project") / "features.py"


def pytest_configure(config: pytest.Config) -> None:
    """Register this folder's marker."""
    config.addinivalue_line("markers", "airflow: starts a real Airflow, which takes about a minute")


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(HOME, ignore_errors=True)


def open_warehouse(path: Path = WAREHOUSE) -> Warehouse:
    """The DuckDB file, for a moment: close it, or tasks wait.

    A task that has it open is waited for.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            return connectors.open_warehouse("duckdb", {"path": str(path)})
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def execute(*sql: str, path: Path = WAREHOUSE) -> None:
    """Run statements."""
    warehouse = open_warehouse(path)
    try:
        warehouse.execute([Statement("test", text) for text in sql])
    finally:
        warehouse.close()


def query(sql: str, path: Path = WAREHOUSE) -> list[tuple[Any, ...]]:
    """A query's rows."""
    warehouse = open_warehouse(path)
    try:
        return [tuple(row.values()) for batch in warehouse.fetch(sql) for row in batch.to_pylist()]
    finally:
        warehouse.close()


HOLD = """
import sys
from controlplane.workspace import connectors
warehouse = connectors.open_warehouse("duckdb", {"path": sys.argv[1]})
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def hold(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open; closing its input ends it."""
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        yield holder
    finally:
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()


@dataclass(frozen=True)
class Deployed:
    """A project whose tables and release are there."""

    manifest: Manifest
    release: release.Release
    root: Path
    path: Path

    @property
    def folder(self) -> Path:
        """The release's files."""
        return self.root / "releases" / self.release.digest


def load_data(path: Path) -> None:
    """Three days of departures, one an hour from each of two airports.

    At 07:00 the key is missing.
    """
    execute(
        "CREATE SCHEMA IF NOT EXISTS raw",
        """
        CREATE OR REPLACE TABLE raw.departures AS
        SELECT airport AS origin, TIMESTAMP '2013-01-01' + to_hours(hour) AS departed_at,
          CAST(hour AS BIGINT) AS delay, 'N' || hour AS tail
        FROM range(72) AS hours(hour), (VALUES ('JFK'), ('LGA')) AS airports(airport)
        """,
        "CREATE OR REPLACE TABLE raw.airports AS SELECT * FROM (VALUES ('JFK', 4), ('LGA', 7)) AS a(origin, gates)",
        path=path,
    )


def compiled(
    path: Path, *, now: datetime | None = NOW, environment: str = "local", schema: str = "features"
) -> Manifest:
    """The small project's manifest."""
    definitions, problems = load(FEATURES.parent, [FEATURES.name])
    target = Target("flights", environment, "duckdb", schema, now, FEATURES.parent)
    warehouse = open_warehouse(path)
    try:
        return compile_manifest(definitions, target, warehouse, problems)
    finally:
        warehouse.close()


def live_manifest(path: Path) -> Manifest:
    """One view of the project in an environment that follows the wall clock, with a long settling
    delay."""
    manifest = compiled(path, now=None, environment="live", schema="live")
    view = msgspec.structs.replace(manifest.view("airport_delays"), delay=LIVE_DELAY)
    return msgspec.structs.replace(manifest, views=(view,))


def sharded_manifest(path: Path, shards: int) -> Manifest:
    """One view of the project in an environment of its own, whose sync has shards."""
    manifest = compiled(path, environment="sharded", schema="sharded")
    view = msgspec.structs.replace(manifest.view("airport_delays"), sync_shards=shards)
    return msgspec.structs.replace(manifest, views=(view,))


def lean_manifest(path: Path, environment: str = "lean") -> Manifest:
    """One view of the project in an environment of its own, whose runs are one task."""
    manifest = compiled(path, environment=environment, schema=environment)
    view = msgspec.structs.replace(manifest.view("airport_delays"), tasks="view")
    return msgspec.structs.replace(manifest, views=(view,))


def deploy(manifest: Manifest, root: Path, path: Path) -> Deployed:
    """Make the tables and the users' views, and write the release."""
    rendered = release.render_release(manifest)
    warehouse = open_warehouse(path)
    try:
        for view in manifest.views:
            for name in ("setup", "doors"):
                warehouse.execute(read(rendered.files[f"sql/{view.name}.{name}.sql"]))
    finally:
        warehouse.close()
    root.joinpath("releases").mkdir(parents=True, exist_ok=True)
    write_release(root, rendered)
    return Deployed(manifest, rendered, root, path)


def online(store: OnlineStore, deployed: Deployed, view: str) -> dict[str, Decoded | None]:
    """The online values of one version of a view, by airport."""
    spec = deployed.manifest.view(view)
    prefix = naming.online_prefix(deployed.manifest.namespace, view, spec.fingerprint)
    keys = [online_key(prefix, layout(spec), {"origin": airport}) for airport in AIRPORTS]
    values = store.read(keys)
    return {
        a: decode(v, layout(spec)) if v is not None else None
        for a, v in zip(AIRPORTS, values, strict=True)
    }


def context(partition: str) -> Any:
    """What Airflow tells a task of `DELAYS` in the run of a partition."""
    run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 1, 1, tzinfo=UTC), conf={})
    ti = SimpleNamespace(dag_id=DELAYS, task_id="stage", try_number=1)
    return {
        "dag_run": run,
        "run_id": "it's",
        "partition_key": partition,
        "partition_date": None,
        "ti": ti,
    }


@pytest.fixture(scope="session")
def deployed(valkey_url: str) -> Iterator[Deployed]:
    """The small project in this folder's Airflow home, with its connections."""
    load_data(WAREHOUSE)
    host, port = valkey_url.removeprefix("redis://").split(":")
    extra = {"lock_timeout": LOCK_TIMEOUT}
    os.environ["AIRFLOW_CONN_PLANE_WAREHOUSE"] = json.dumps(
        {"conn_type": "duckdb", "host": str(WAREHOUSE), "extra": extra}
    )
    os.environ["AIRFLOW_CONN_PLANE_ONLINE"] = json.dumps(
        {"conn_type": "plane_redis", "host": host, "port": int(port), "schema": "1"}
    )
    yield deploy(compiled(WAREHOUSE), RELEASES, WAREHOUSE)
    for name in ("AIRFLOW_CONN_PLANE_WAREHOUSE", "AIRFLOW_CONN_PLANE_ONLINE"):
        del os.environ[name]
