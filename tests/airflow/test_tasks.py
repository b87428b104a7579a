"""Single tasks of the rendered DAGs: they wait for their interval or a lock, and can be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.exceptions import TaskDeferred

from controlplane.airflow import hooks
from controlplane.airflow.operators import Stage, Unstage
from controlplane.base.naming import partition_key
from controlplane.base.types import floor
from controlplane.errors import PermanentError, TransientError
from controlplane.release import program as programs
from tests.airflow.conftest import (
    LIVE_DELAY,
    LOCK_TIMEOUT,
    WAREHOUSE,
    context,
    hold,
    live_manifest,
    open_warehouse,
    query,
)

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Airflow's own, and what it imports
    pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning"),
]


def test_a_run_gives_its_worker_back_until_the_interval_has_settled(deployed, tmp_path):
    live = live_manifest(WAREHOUSE)
    program = tmp_path / "program.json"
    program.write_text(programs.to_json(programs.build(live, live.view("airport_delays"))))
    task = Stage(task_id="stage", program=str(program), sql="")
    start = floor(datetime.now(UTC), timedelta(hours=1)) - timedelta(hours=1)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context(partition_key(start)))
    assert deferred.value.trigger.moment == start + timedelta(hours=1) + LIVE_DELAY
    assert deferred.value.method_name == "resume"
    with pytest.raises(PermanentError, match="has not ended yet"):
        task.execute(context(partition_key(start + timedelta(hours=1))))


@pytest.fixture
def locked(deployed):
    """Another process has the warehouse's file open; closing its input ends it."""
    with hold(WAREHOUSE) as holder:
        yield holder


def test_a_locked_file_is_waited_for(locked):
    timer = threading.Timer(1.0, locked.stdin.close)
    began = time.monotonic()
    timer.start()
    hooks.open_warehouse("plane_warehouse").close()
    timer.join()
    assert 0.9 < time.monotonic() - began < LOCK_TIMEOUT


def test_a_file_that_stays_locked_is_a_transient_failure(locked):
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"open by process {locked.pid}"):
        hooks.open_warehouse("plane_warehouse")
    assert LOCK_TIMEOUT - 2.5 < time.monotonic() - began < LOCK_TIMEOUT + 2


def test_connections_are_tested_by_the_form(deployed):
    worked, text = hooks.DuckDBHook().test_connection()
    assert worked
    assert text.startswith("DuckDB")
    assert hooks.OnlineStoreHook().test_connection()[0]
    with pytest.raises(PermanentError, match="is not a supported warehouse type"):
        hooks.open_warehouse("plane_online")


def test_a_task_that_is_stopped_before_it_begins_runs_nothing(deployed):
    program = str(deployed.folder / "airport_delays.json")
    task = Unstage(
        task_id="unstage", program=program, sql="-- @statement: x\nCREATE TABLE never (x INT);\n"
    )
    task.on_kill()
    with pytest.raises(TransientError, match="the task was stopped"):
        task.execute(context("2013-01-01T06:00:00"))
    assert query("SELECT * FROM information_schema.tables WHERE table_name = 'never'") == []


STOP = """
import signal, sys
from types import SimpleNamespace
from typing import Any
from datetime import UTC, datetime, timedelta
from controlplane.airflow.operators import Unstage
from controlplane.errors import TransientError

slow = "-- @statement: count\\nSELECT count(*) FROM range(100000) a(x), range(100000) b(y) WHERE x * y % 7 = 3;\\n"
task = Unstage(task_id="unstage", program=sys.argv[1], sql=slow)
signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
print("ready", flush=True)
run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 1, 1, tzinfo=UTC), conf={})
ti = SimpleNamespace(dag_id="flights", task_id="unstage", try_number=1)
try:
    task.execute({"dag_run": run, "run_id": "x", "ti": ti})
except TransientError as error:
    print("stopped:", error.message, flush=True)
"""


def test_a_task_that_is_stopped_stops_its_statement(deployed):
    program = deployed.folder / "airport_delays.json"
    task = subprocess.Popen(
        [sys.executable, "-c", STOP, str(program)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env=dict(os.environ),
    )
    assert task.stdout is not None
    lines = iter(task.stdout.readline, "")
    assert any(line == "ready\n" for line in lines)
    time.sleep(3.0)
    assert task.poll() is None
    began = time.monotonic()
    task.send_signal(signal.SIGTERM)
    with task.stdout:
        rest = "".join(lines)
    assert task.wait(timeout=60) == 0
    assert time.monotonic() - began < 10
    assert "stopped: the task was stopped" in rest
    open_warehouse().close()
