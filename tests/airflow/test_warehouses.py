"""Rendered DAGs in Airflow's own process against Snowflake's and Databricks' local endpoints, by
connections alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DagRunState
from airflow.utils.db import initdb

from controlplane.airflow import hooks
from controlplane.airflow.operators import Unstage
from controlplane.base.ports import Statement, Warehouse
from controlplane.compile.loader import load
from controlplane.compile.project import Target, compile_manifest
from controlplane.deploy.release_files import write_release
from controlplane.errors import TransientError
from controlplane.release import release
from controlplane.sql.statements import read
from controlplane.workspace import connectors
from tests.airflow.conftest import BUNDLES
from tests.e2e.test_warehouses import DEFINITIONS, RIGHT, load_orders
from tests.endpoints.databricks.client import DatabricksEndpoint
from tests.endpoints.snowflake import SnowflakeEndpoint

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own, and what it imports
    pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning"),
]
VARIABLE = "AIRFLOW_CONN_PLANE_WAREHOUSE"
DAYS = ({"start": "2024-01-01", "end": "2024-01-02"}, {"start": "2024-01-02", "end": "2024-01-03"})
# Spark takes its time.
RUNS = {
    "snowflake": DAYS,
    "databricks": ({"start": "2024-01-01", "end": "2024-01-03"},),
}
SCHEMAS = ("features", "_plane", "raw")
SECRET = "wr0ng-secret-of-the-team"


@dataclass(frozen=True)
class Rig:
    """A project on one of the two, its DAG, and the endpoint behind it."""

    kind: str
    endpoint: Any
    connection: Mapping[str, Any]
    warehouse: Warehouse
    folder: Path
    dag: Any

    @property
    def secret(self) -> str:
        """What the connection proves itself with."""
        return str(self.connection["password"])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """A query's rows, in an order of ours: they come in any."""
        return sorted(
            (row for batch in self.warehouse.fetch(sql) for row in batch.to_pylist()), key=str
        )

    def run(self, conf: Mapping[str, str]) -> Any:
        """One run of the DAG in this process."""
        return self.dag.test(logical_date=None, run_conf=dict(conf))

    def ended(self) -> list[tuple[str, str, str]]:
        """Every statement: its text, its tags, and whether it was stopped."""
        if self.kind == "databricks":
            return [(one["sql"], one["tags"], one["state"]) for one in self.endpoint.history]
        return [
            (q.text, q.tag, "CANCELED" if q.error and q.error.number == 604 else q.status())
            for q in self.endpoint.account.history
        ]

    def running(self) -> list[str]:
        """The statements that have not ended."""
        if self.kind == "databricks":
            return list(self.endpoint.running)
        return [query.text for query in self.endpoint.account.history if not query.done.is_set()]

    def slow(self, text: str, seconds: float) -> None:
        """The next statement that holds a text takes so long."""
        if self.kind == "databricks":
            self.endpoint.fault("slow", pattern=text, seconds=seconds)
        else:
            self.endpoint.faults.slow(text, seconds)


def connected(kind: str, endpoint: Any) -> dict[str, Any]:
    """A connection as Airflow's own provider of that type would have it."""
    if kind == "databricks":
        place = urlsplit(endpoint.address)
        part = {
            "host": place.hostname,
            "port": place.port,
            "schema": place.scheme,
            "password": endpoint.token,
        }
        return {"conn_type": kind, **part, "extra": {"http_path": place.path}}
    extra = {"account": "local", "warehouse": "COMPUTE", "database": "PLANE", "role": "PLANE_ROLE"}
    where = {"host": "127.0.0.1", "port": endpoint.port, "protocol": "http"}
    return {
        "conn_type": kind,
        "login": "PLANE",
        "password": "open sesame",
        "extra": {**extra, **where},
    }


@contextmanager
def connection(value: Mapping[str, Any]) -> Iterator[None]:
    """Airflow's connection to the warehouse, for a while."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = json.dumps(value)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def deployed(kind: str, warehouse: Warehouse, root: Path) -> Path:
    """The shop of the command line's test: what the team has, the view's tables, and the release's
    folder."""
    load_orders(warehouse)
    (root / "project").mkdir(parents=True)
    (root / "releases").mkdir()
    definitions_text = DEFINITIONS.replace(
        "@batch_feature_view(", "@batch_feature_view(\n    online=False,"
    )
    if kind == "snowflake":  # interval by interval: a statement for each of a run's hours
        definitions_text = definitions_text.replace(
            "select shopper_id", "select distinct shopper_id"
        )
    (root / "project" / "purchases.py").write_text(definitions_text)
    definitions, problems = load(root / "project", ["purchases.py"])
    target = Target(
        "shop", kind, kind, "features", datetime(2024, 1, 3, tzinfo=UTC), root / "project"
    )
    manifest = compile_manifest(definitions, target, warehouse, problems)
    rendered = release.render_release(manifest)
    for name in ("setup", "doors"):
        warehouse.execute(read(rendered.files[f"sql/purchases.{name}.sql"]))
    write_release(root, rendered)
    return root / "releases" / rendered.digest


@pytest.fixture(scope="module", params=["snowflake", "databricks"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The shop on one of the two, computed for all of its hours."""
    kind = request.param
    with ExitStack() as stack:
        endpoint: SnowflakeEndpoint | DatabricksEndpoint
        if kind == "snowflake":
            endpoint = stack.enter_context(SnowflakeEndpoint())
        else:
            endpoint = request.getfixturevalue("databricks")
        warehouse = connectors.open_warehouse(kind, endpoint.options())
        stack.callback(warehouse.close)
        if kind == "databricks":
            drop = [
                Statement("clean up", f"DROP SCHEMA IF EXISTS {schema} CASCADE")
                for schema in SCHEMAS
            ]
            stack.callback(warehouse.execute, drop)
        folder = deployed(kind, warehouse, BUNDLES[kind])
        stack.enter_context(connection(given := connected(kind, endpoint)))
        initdb()
        bag = DagBag(dag_folder=str(folder), bundle_name=kind, bundle_path=folder)
        assert bag.import_errors == {}
        rig = Rig(kind, endpoint, given, warehouse, folder, bag.dags[f"shop.{kind}.purchases"])
        for conf in RUNS[kind]:
            assert rig.run(conf).state == DagRunState.SUCCESS
        yield rig


def test_a_dag_s_runs_give_the_values_that_are_right(rig):
    names = ("price_sum_1h", "price_sum_1d", "item_last_3_1d", "item")
    found = [
        (
            row["shopper_id"],
            row["valid_from"].day,
            row["valid_from"].hour,
            *(row[name] for name in names),
        )
        for row in rig.rows("SELECT * FROM features.purchases")
    ]
    assert sorted(found, key=lambda row: row[:3]) == RIGHT
    assert len(rig.rows("SELECT version FROM _plane.ledger")) == len(RUNS[rig.kind])


def test_every_statement_bears_its_task(rig):
    theirs = [(text, tags) for text, tags, _ in rig.ended() if "dag_id" in tags]
    owner = {
        "view": "purchases",
        "owner": "team@example.com",
        "dag_id": f"shop.{rig.kind}.purchases",
    }
    for text, tags in theirs:
        for name, value in (owner | {"try_number": "1"}).items():
            assert (
                f'"{name}": "{value}"' if rig.kind == "snowflake" else f"{name}:{value}"
            ) in tags, text
        if rig.kind == "snowflake":
            assert json.loads(tags)["run"].startswith("manual__")
    for task in ("stage", "check", "publish", "unstage", "announce"):
        assert any(task in tags.split("task_id", 1)[1][:15] for _, tags in theirs), task


@contextmanager
def in_a_process(act: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """A forked process, as Airflow's workers are, that does something: its number, and what it
    tells as a pipe."""
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
        except TransientError as error:
            os.write(tells, error.message.encode())
        finally:
            os._exit(0)
    os.close(tells)
    try:
        yield child, told
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)


def test_a_task_that_is_killed_leaves_no_statement_behind(rig):
    sql = "-- @statement: wait\nSELECT 'held up' AS x;\n"
    task = Unstage(task_id="unstage", program=str(rig.folder / "purchases.json"), sql=sql)
    run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 1, 1, tzinfo=UTC), conf={})
    ti = SimpleNamespace(dag_id="shop", task_id="unstage", try_number=1)
    context: Any = {"dag_run": run, "run_id": "x", "ti": ti}

    def act() -> None:
        signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
        task.execute(context)

    rig.slow("held up", 60)
    began = time.monotonic()
    with in_a_process(act) as (child, told):
        while not rig.running():
            assert time.monotonic() - began < 50
            time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        assert os.read(told, 1000) == b"the task was stopped"
    assert rig.running() == []
    assert [state for text, _, state in rig.ended() if "held up" in text] == ["CANCELED"]


def test_a_task_that_takes_too_long_leaves_no_statement_behind(rig):
    published = rig.rows("SELECT * FROM _plane.ledger")
    stage = rig.dag.task_dict["stage"]
    stage.execution_timeout, stage.retries = timedelta(seconds=3), 0
    rig.slow("CREATE", 60)
    began = time.monotonic()
    try:
        run = rig.run(DAYS[1])
    finally:
        stage.execution_timeout, stage.retries = None, 3
    assert run.state == DagRunState.FAILED
    assert time.monotonic() - began < 40
    assert rig.running() == []
    assert [state for text, _, state in rig.ended() if "CREATE" in text][-1] == "CANCELED"
    assert rig.rows("SELECT * FROM _plane.ledger") == published


def broken(rig: Rig, **changes: Any) -> dict[str, Any]:
    """The connection with something else in it or in its extra."""
    given = dict(rig.connection)
    given["extra"] = {
        **given["extra"],
        **{name: v for name, v in changes.items() if name != "password"},
    }
    return given | ({"password": changes["password"]} if "password" in changes else {})


CONNECTIONS: dict[str, dict[str, tuple[dict[str, Any], tuple[str, ...]]]] = {
    "lacks something": {
        "snowflake": (
            {"account": None, "proxy_host": SECRET},
            ("no account", "proxy_host is not supported"),
        ),
        "databricks": (
            {"http_path": None, "password": None},
            ("no http_path", "it has no credentials"),
        ),
    },
    "wrong password": {
        "snowflake": (
            {"password": SECRET},
            ("Incorrect username or password", "the credentials"),
        ),
        "databricks": (
            {"password": SECRET},
            ("refused the credentials", "whether they have expired"),
        ),
    },
    "no warehouse": {
        "snowflake": ({"warehouse": "NOWHERE"}, ("No active warehouse", "set `warehouse`")),
        "databricks": (
            {"http_path": "/sql/gone"},
            ("refused the request", "whether the warehouse exists"),
        ),
    },
}


@pytest.mark.parametrize("what", CONNECTIONS)
def test_a_connection_that_does_not_work(rig, what, capfd):
    changes, told = CONNECTIONS[what][rig.kind]
    published = rig.rows("SELECT * FROM _plane.ledger")
    with connection(broken(rig, **changes)):
        run = rig.run(DAYS[1])
        fine, text = hooks.warehouse_hook("plane_warehouse").test_connection()
    assert run.state == DagRunState.FAILED
    out = "".join(capfd.readouterr()) + text
    # Snowflake says who one is without a warehouse, which is all that the form's button asks.
    assert fine is (rig.kind == "snowflake" and what == "no warehouse")
    for words in told:
        assert words in out
    assert SECRET not in out
    assert rig.secret not in out
    assert rig.rows("SELECT * FROM _plane.ledger") == published


def test_a_table_that_is_gone(rig, capfd):
    published = rig.rows("SELECT * FROM features.purchases")
    rig.warehouse.execute([Statement("hide it", "ALTER TABLE raw.orders RENAME TO raw.hidden")])
    try:
        run = rig.run(DAYS[1])
    finally:
        rig.warehouse.execute(
            [Statement("bring it back", "ALTER TABLE raw.hidden RENAME TO raw.orders")]
        )
    assert run.state == DagRunState.FAILED
    out = "".join(capfd.readouterr())
    assert "its sources have changed since the deploy: raw.orders is missing" in out
    assert rig.secret not in out
    assert rig.rows("SELECT * FROM features.purchases") == published
