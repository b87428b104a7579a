"""The embedded Airflow's executor: workers that have imported what tasks need, and a scheduler that
rests and wakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

START = """
import json, os, sqlite3, sys, threading, time
from pathlib import Path
from controlplane.airflow.executor import WarmExecutor

def write():
    with sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db") as database:
        database.execute("CREATE TABLE written (x INT)")

def turn():
    begun = time.monotonic()
    executor.sync()
    return time.monotonic() - begun

executor = WarmExecutor(parallelism=1)
assert not any(name.startswith("connectors.") for name in sys.modules)
os.register_at_fork(after_in_child=lambda: os.write(int(sys.argv[1]), " ".join(sys.modules).encode()))
executor.start()
quiet = turn()
threading.Timer(0.5, write).start()
print(json.dumps({"quiet": quiet, "written": turn(), "again": turn()}))
executor.end()
"""
NEEDED = {
    "airflow.sdk.execution_time.task_runner",
    "connectors.duckdb.warehouse",
    "connectors.redis.store",
    "controlplane.airflow.work",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a worker had imported when it was forked, and how many seconds some turns of the
    scheduler took."""
    connections = {
        "AIRFLOW_CONN_PLANE_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": "w.duckdb"}),
        "AIRFLOW_CONN_PLANE_ONLINE": json.dumps({"conn_type": "plane_redis", "host": "127.0.0.1"}),
        "AIRFLOW_CONN_OF_ANOTHER": "mysql://nobody@nowhere",
        "AIRFLOW_CONN_UNKNOWN": json.dumps({"conn_type": "unknown"}),
    }
    home: Path = tmp_path_factory.mktemp("executor")
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", START, str(writing)],
        env={**os.environ, **connections, "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        imported = set(pipe.read().split())
    assert done.returncode == 0, done.stderr
    [took] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {"imported": imported, **json.loads(took)}


def test_workers_are_forked_with_all_that_tasks_import(ran):
    assert ran["imported"] >= NEEDED


def test_the_scheduler_rests_until_somebody_writes_to_the_database(ran):
    assert ran["quiet"] >= 3
    assert 0.5 <= ran["written"] < 3  # else it has rested to the end
    assert ran["again"] >= 3
