"""The embedded Airflow's executor: its workers have imported what tasks need before there is a task."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

START = """
import os, sys
from controlplane.airflow.executor import WarmExecutor

executor = WarmExecutor(parallelism=1)
assert not any(name.startswith("connectors.") for name in sys.modules)
os.register_at_fork(after_in_child=lambda: os.write(int(sys.argv[1]), " ".join(sys.modules).encode()))
executor.start()
executor.end()
"""
NEEDED = {
    "airflow.sdk.execution_time.task_runner",
    "connectors.duckdb",
    "connectors.redis",
    "controlplane.airflow.work",
}


@pytest.mark.airflow
def test_workers_are_forked_with_all_that_tasks_import(tmp_path):
    connections = {
        "AIRFLOW_CONN_PLANE_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": "w.duckdb"}),
        "AIRFLOW_CONN_PLANE_ONLINE": json.dumps({"conn_type": "plane_redis", "host": "127.0.0.1"}),
        "AIRFLOW_CONN_OF_ANOTHER": "mysql://nobody@nowhere",
        "AIRFLOW_CONN_UNKNOWN": json.dumps({"conn_type": "unknown"}),
    }
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", START, str(writing)],
        env={**os.environ, **connections, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert set(pipe.read().split()) >= NEEDED, done.stderr
