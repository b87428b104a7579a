"""The embedded Airflow, for real: started once for this file, driven by REST, broken, healed and
stopped.

The tests build on each other's Airflow in the order of this file, since a start costs half a
minute.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from controlplane.embedded import airflow, airflow_settings
from controlplane.embedded.airflow_client import AirflowClient
from controlplane.embedded.daemon import Daemon, alive, members, read_state
from controlplane.errors import PermanentError, PlaneError, TransientError
from tests.children import interruptible
from tests.embedded.looking import daemons, listening, until
from tests.embedded.stumbling import Stumbling

pytestmark = pytest.mark.airflow

DAGS = """
from airflow.sdk import DAG, Asset, BaseHook, CronPartitionTimetable, task
from datetime import datetime

with DAG("hello.dag", schedule=None):
    @task(pool="small")
    def greet(**context):
        print("connection", BaseHook.get_connection("warehouse").host, context["params"])
        if context["dag_run"].conf.get("fail"):
            raise RuntimeError("asked to fail")

    greet()

with DAG("daily.dag", schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1),
         start_date=datetime(2013, 1, 1), catchup=False, is_paused_upon_creation=True):
    @task(outlets=[Asset("plane-test://features/daily")])
    def publish():
        pass

    publish()
"""


def settings(root: Path, **changes: Any) -> dict[str, Any]:
    bundle = {
        "name": "tests",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(root), "refresh_interval": 5},
    }
    return {
        "bundle_root": root,
        "bundle_config": json.dumps([bundle]),
        "connections": {
            "warehouse": json.dumps({"conn_type": "generic", "host": "from the environment"})
        },
        "pools": {"small": 2, "default_pool": 3},
        **changes,
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of DAGs."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "dags.py").write_text(DAGS)
    (folder / "broken.py").write_text(
        "from airflow.sdk import DAG\nraise ValueError('broken on purpose')\n"
    )
    return folder


@pytest.fixture(scope="module")
def progress() -> list[str]:
    """What the first start reported."""
    return []


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, root: Path, progress: list[str]
) -> Iterator[Path]:
    """AIRFLOW_HOME of an Airflow that runs, in a folder where an earlier start had been
    interrupted."""
    folder = tmp_path_factory.mktemp("airflow") / "home"
    folder.mkdir(mode=0o700)
    with sqlite3.connect(folder / "airflow.db") as half_made:
        half_made.execute("create table dag (dag_id text)")
    half_made.close()
    mask = os.umask(0)
    try:
        airflow.up(folder, **settings(root), on_progress=progress.append)
        os.umask(mask)
        yield folder
    finally:
        os.umask(mask)
        airflow.down(folder)


@pytest.fixture(scope="module")
def client(home: Path) -> AirflowClient:
    """Talks to it."""
    server = airflow.find(home)
    assert server is not None
    return server.client()


def test_a_start_reports_and_is_found(home, progress):
    server = airflow.find(home)
    assert server is not None
    assert set(server.pids) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert progress[0].startswith("preparing the database of Airflow 3.")
    assert {line.split()[0] for line in progress if line.endswith("is healthy")} == set(server.pids)
    assert (home / "secret.json").stat().st_mode & 0o777 == 0o600


def test_it_listens_on_loopback_alone(home):
    server = airflow.find(home)
    assert server is not None
    pids = {pid for daemon in daemons(home).values() for pid in members(daemon)}
    assert len(pids) > len(server.pids)
    assert listening(pids) == {("0100007F", server.port)}


def test_c3_airflow_asks_for_a_password_that_its_owner_alone_can_read(home, client):
    """Case C3: other users of the machine reach the port, and what they see must not let them
    in."""
    for asked in (
        Request(f"{client.url}/auth/token"),
        Request(f"{client.url}/auth/token/login"),
        Request(f"{client.url}/api/v2/dags"),
        Request(f"{client.url}/api/v2/connections"),
    ):
        with pytest.raises(HTTPError) as refused:
            build_opener(ProxyHandler({})).open(asked)
        assert refused.value.code in {401, 403}
        refused.value.close()
    for wrong in ("", "guess"):
        with pytest.raises(PermanentError, match=r"40[01]"):
            AirflowClient(client.url, username=airflow_settings.USERNAME, password=wrong).token()
    assert client.token()
    secret = airflow.password(home)
    assert len(secret) >= 32
    server = airflow.find(home)
    assert server is not None
    assert secret not in f"{server} {server!r} {vars(server)}"
    for pid in {pid for daemon in daemons(home).values() for pid in members(daemon)}:
        assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    holders = [
        path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert holders == [server.password_file]
    assert server.password_file.stat().st_mode & 0o777 == 0o600


def test_c4_all_that_airflow_writes_is_its_owners_alone(home, client):
    """Case C4: the database, logs of components and tasks, caches; started under a mask that hides
    nothing."""
    until(lambda: len(client.dags()) == 2)
    run = client.trigger("hello.dag")
    assert client.wait("hello.dag", [run], timeout=90) == {run: "success"}
    modes = {
        str(path.relative_to(home)): path.lstat().st_mode & 0o777
        for path in [home, *home.rglob("*")]
        if not path.is_symlink()
    }
    assert any(name.startswith("logs/dag_id=hello.dag/") for name in modes)
    assert {"airflow.db", "scheduler.log", "launch.log", "state.json", "airflow.cfg"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_a_second_start_changes_nothing_and_is_quick(home, root):
    before = airflow.find(home)
    begun = time.monotonic()
    said: list[str] = []
    assert airflow.up(home, **settings(root), on_progress=said.append) == before
    assert time.monotonic() - begun < 10
    assert all(line.endswith("is healthy") for line in said)


def test_a_port_that_is_taken_is_refused_and_what_runs_stays(home, root):
    before = airflow.find(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlaneError, match=f"port {port} is in use"):
            airflow.up(home, **settings(root, port=port))
    assert airflow.find(home) == before


def test_dags_import_errors_and_pools(client):
    until(lambda: len(client.dags()) == 2)
    states = {dag["dag_id"]: dag["is_paused"] for dag in client.dags()}
    assert states == {"hello.dag": False, "daily.dag": True}
    (error,) = until(client.import_errors)
    assert "broken on purpose" in error["stack_trace"]
    client.set_pool("small", 1)
    assert {pool["name"]: pool["slots"] for pool in client._all("/pools", "pools")} == {
        "small": 1,
        "default_pool": 3,
    }


def test_runs_are_triggered_awaited_read_and_cleared(client):
    until(lambda: len(client.dags()) == 2)
    good = client.trigger("hello.dag", run_id="good:1+1")
    bad = client.trigger("hello.dag", conf={"fail": True})
    assert ("hello.dag", bad) in client.unfinished()
    said: list[str] = []
    assert client.wait("hello.dag", [good, bad], timeout=90, on_progress=said.append) == {
        good: "success",
        bad: "failed",
    }
    assert client.unfinished() == set()
    assert f"hello.dag {good}: success" in said
    (task,) = client.task_instances("hello.dag", good)
    assert (task["task_id"], task["state"], task["pool"]) == ("greet", "success", "small")
    assert "connection from the environment" in client.log("hello.dag", good, "greet", 1)
    assert "RuntimeError: asked to fail" in client.log("hello.dag", bad, "greet", 1)
    assert [run["dag_run_id"] for run in client.runs("hello.dag", state="failed")] == [bad]
    client.clear("hello.dag", bad, only_failed=True, run_on_latest_version=True)
    assert client.wait("hello.dag", [bad], timeout=60) == {bad: "failed"}
    assert client.task_instances("hello.dag", bad)[0]["try_number"] == 2


def test_a_partition_and_a_backfill_emit_events(client):
    until(lambda: len(client.dags()) == 2)
    client.unpause("daily.dag")
    single = client.trigger("daily.dag", partition_key="2013-01-02T00:00:00")
    assert client.wait("daily.dag", [single], timeout=60) == {single: "success"}
    (event,) = client.asset_events(dag_id="daily.dag", run_id=single)
    assert (event["uri"], event["partition_key"]) == (
        "plane-test://features/daily",
        "2013-01-02T00:00:00",
    )
    start, end = datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 3, tzinfo=UTC)
    backfill = client.backfill("daily.dag", start, end, max_active_runs=2, reprocess="completed")
    with pytest.raises(PermanentError, match="409"):
        client.backfill("daily.dag", start, end)
    runs = {run["dag_run_id"]: run["partition_key"] for run in client.backfill_runs(backfill)}
    assert list(runs.values()) == [f"2013-01-0{day}T00:00:00" for day in (1, 2, 3)]
    assert set(client.wait("daily.dag", runs, timeout=120).values()) == {"success"}
    emitted = [
        (event["source_run_id"], event["partition_key"])
        for event in client.asset_events(dag_id="daily.dag")
    ]
    assert set(emitted) >= set(runs.items())


def test_refusals_and_outages_are_told_apart(client):
    with pytest.raises(PermanentError, match="404"):
        client.run("hello.dag", "no such run")
    with pytest.raises(PermanentError, match="422"):
        client.backfill(
            "hello.dag", datetime(2013, 1, 2, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)
        )
    client._token = "of another Airflow"
    assert client.dags()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(TransientError, match="no answer"):
        AirflowClient(f"http://127.0.0.1:{port}").dags()
    with pytest.raises(ValueError, match="this machine"):
        AirflowClient("http://airflow.example.com")


def test_what_airflow_fails_to_log_is_asked_for_again(home, client):
    with Stumbling(client.url) as stumbling:
        url = f"http://127.0.0.1:{stumbling.server_port}"
        secret = airflow.password(home)
        run = AirflowClient(url, username=airflow_settings.USERNAME, password=secret).trigger(
            "hello.dag"
        )
    assert stumbling.refused == 1
    assert client.wait("hello.dag", [run], timeout=90) == {run: "success"}


def test_a_killed_component_is_healed_by_a_start_whose_process_ends(home, root, tmp_path):
    before = airflow.find(home)
    assert before is not None
    killed = daemons(home)["scheduler"]
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: not alive(killed))
    assert members(killed), "its workers live on"
    assert airflow.find(home) is None
    (tmp_path / "email.py").write_text(
        "raise RuntimeError('a module of the folder that the user stands in')"
    )
    healed = in_another_process(
        home, settings(root), cwd=tmp_path, AIRFLOW__CORE__HOSTNAME_CALLABLE="another.airflows"
    )
    assert healed.wait(timeout=120) == 0
    after = airflow.find(home)
    assert after is not None
    assert after.port == before.port
    assert {name for name in before.pids if before.pids[name] != after.pids[name]} == {"scheduler"}
    assert members(killed) == []


def test_changed_connections_restart_it_and_an_interrupted_start_leaves_nothing(home, root):
    before = daemons(home)
    starting = in_another_process(home, settings(root, connections={}))
    running = until(lambda: len(now := daemons(home)) == 4 and now != before and now, 60)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(timeout=60) == -signal.SIGINT
    assert not any(members(daemon) for daemon in [*before.values(), *running.values()])
    assert not airflow.down(home)


def test_a_component_that_ends_is_reported_with_its_log_and_nothing_is_left(home, root):
    seen: dict[str, Daemon] = {}
    stopped = threading.Event()

    def watch():
        while not stopped.wait(0.1):
            seen.update(daemons(home))

    watcher = threading.Thread(target=watch)
    watcher.start()
    bad = json.dumps([{"name": "tests", "classpath": "no_such_module.Bundle", "kwargs": {}}])
    try:
        with pytest.raises(PlaneError, match="ended as it started") as caught:
            airflow.up(home, **settings(root, bundle_config=bad))
    finally:
        stopped.set()
        watcher.join()
    assert "no_such_module" in caught.value.message
    assert len(seen) == 4
    assert not any(members(daemon) for daemon in seen.values())


def test_a_later_start_keeps_port_and_runs_and_down_leaves_no_process(home, root, client):
    said: list[str] = []
    server = airflow.up(home, **settings(root), on_progress=said.append)
    assert server.url == client.url
    assert not any("database" in line for line in said)
    assert "good:1+1" in {run["dag_run_id"] for run in client.runs("hello.dag")}
    running = daemons(home)
    pids = {pid for daemon in running.values() for pid in members(daemon)}
    assert airflow.down(home)
    assert not any(Path(f"/proc/{pid}/stat").exists() and not zombie(pid) for pid in pids)
    assert not any(members(daemon) for daemon in running.values())
    assert airflow.find(home) is None
    assert not airflow.down(home)
    assert read_state(home / "state.json")["port"]


def in_another_process(
    home: Path, arguments: dict[str, Any], cwd: Path | None = None, **environment: str
) -> subprocess.Popen:
    code = """
import json, pathlib, signal, sys
from controlplane.embedded import airflow
signal.signal(signal.SIGINT, signal.default_int_handler)  # as under nohup, the parent may ignore it
home, arguments = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
airflow.up(home, **{**arguments, "bundle_root": pathlib.Path(arguments["bundle_root"])})
"""
    text = json.dumps({**arguments, "bundle_root": str(arguments["bundle_root"])})
    paths = os.pathsep.join(filter(None, sys.path))
    with interruptible():
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(home), text],
            env={**os.environ, "PYTHONPATH": paths, **environment},
            stderr=subprocess.DEVNULL,
            cwd=cwd,
        )


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
