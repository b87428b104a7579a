"""The task of a lean run outside of Airflow: in this process, or in one that is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from controlplane.airflow.operators import RunView

STEPS = ["stage", "check", "publish", "sync", "activate"]
RANGE = {"start": "2013-01-01", "end": "2013-01-03"}


class TaskState:
    """What a task keeps for its next try, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str) -> Any:
        return json.loads(self._path.read_text()).get(key) if self._path.exists() else None

    def set(self, key: str, value: Any) -> None:
        self._path.write_text(json.dumps({key: value}))


def task_of(
    folder: Path, online_conn_id: str = "plane_online", task_type: type[RunView] = RunView
) -> RunView:
    """The task of the view's DAG, with the SQL of a release's folder."""
    files = {
        f"{step}_sql": f"sql/airport_delays.{name}.sql"
        for step, name in [
            *((step, step) for step in ("stage", "check", "publish", "unstage", "sync")),
            ("activate", "doors"),
        ]
    }
    texts = {name: (folder / file).read_text() for name, file in files.items()}
    program = str(folder / "airport_delays.json")
    return task_type(task_id="run", program=program, online_conn_id=online_conn_id, **texts)


def context_of(state: Path, try_number: int, conf: dict[str, str], max_tries: int = 3) -> Any:
    """What Airflow tells the task in one try."""
    run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 1, 1, tzinfo=UTC), conf=conf)
    return {
        "dag_run": run,
        "run_id": "one",
        "partition_key": None,
        "partition_date": None,
        "ti": SimpleNamespace(
            dag_id="flights.lean.airport_delays",
            task_id="run",
            try_number=try_number,
            max_tries=max_tries,
        ),
        "outlet_events": {},
        "task_state_store": TaskState(state),
    }


def attempt(task: RunView, context: Any) -> dict[str, Any]:
    """One try: the SQL is rendered and run."""
    task.render_template_fields(context)
    result: dict[str, Any] = task.execute(context)
    return result


class _Killed(RunView):
    """The process dies after the step that is named on the command line, before it is kept."""

    def _remember(self, context: Any, done: list[str]) -> None:
        if done[-1:] == sys.argv[3:]:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._remember(context, done)


if __name__ == "__main__":
    attempt(task_of(Path(sys.argv[1]), task_type=_Killed), context_of(Path(sys.argv[2]), 1, RANGE))
