"""A run of one hour in the embedded Airflow: one task for all steps against a task for each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bench import projects
from bench.rows import Row
from controlplane import ControlPlane
from controlplane.api.airflow import EmbeddedAirflow
from controlplane.api.stop import stop_servers
from controlplane.base.types import Interval
from controlplane.embedded import valkey
from controlplane.embedded.airflow import AirflowServer
from controlplane.workspace.project import Project

START, NOW = datetime(2024, 1, 1, tzinfo=UTC), "2024-01-03T00:00:00Z"
IDLE_SECONDS = 15.0
RUNS = 8  # hours, one after the other
TARGET = 1 / 3
DEFINITIONS = """
from controlplane import Aggregate, BatchSource, Entity, batch_feature_view

user = Entity("user", keys={{"user_id": "int64"}}, owner="bench@example.com")
events = BatchSource("events", table="raw.events", timestamp="ts", owner="bench@example.com")


@batch_feature_view(
    entities=[user], sources=[events], schedule="1h", start="2024-01-01", owner="bench@example.com",
    features=[Aggregate("count", windows=["24h"])], tasks="{tasks}",
)
def activity(events):
    return f"SELECT user_id, ts FROM {{events}}"
"""
LOAD = """
CREATE TABLE raw.events AS
SELECT u AS user_id, TIMESTAMP '2024-01-01' + to_hours(h) AS ts
FROM range(50) AS users(u), range(48) AS hours(h)
"""


def rows(folder: Path) -> Iterator[Row]:
    """CPU and wall seconds of a run, all processes of Airflow together."""
    measured = {tasks: _measured(folder / tasks, tasks) for tasks in ("view", "steps")}
    for number, name in enumerate(("CPU", "wall")):
        yield Row(
            f"Airflow run, {name}",
            measured["view"][number],
            measured["steps"][number],
            f"an hour of a small view by one task, against six tasks; mean of {RUNS} runs",
            TARGET,
        )


def _measured(folder: Path, tasks: str) -> tuple[float, float]:
    """CPU and wall seconds of a run, without what Airflow uses while it has nothing to do."""
    path = projects.make(folder, DEFINITIONS.format(tasks=tasks), LOAD, NOW, online=True)
    project = Project(path, embedded=valkey.options)
    with ControlPlane(path) as plane:
        plane.deploy()
    embedded = EmbeddedAirflow(project)
    try:
        server = embedded.up()
        embedded.run([], _hours(0, 1))  # imports, and the first parse of the DAG
        idle_cpu, idle_wall = _used(server, lambda: time.sleep(IDLE_SECONDS))
        cpu, wall = _used(server, lambda: embedded.run([], _hours(1, RUNS + 1)))
    finally:
        embedded.down()
        stop_servers(project)
        project.close()
    return (cpu - wall * idle_cpu / idle_wall) / RUNS, wall / RUNS


def _hours(first: int, last: int) -> Interval:
    return Interval(START + timedelta(hours=first), START + timedelta(hours=last))


def _used(server: AirflowServer, work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of all processes of Airflow meanwhile, those that ended included, and of the
    wall."""
    before, began = _cpu(server), time.perf_counter()
    work()
    return _cpu(server) - before, time.perf_counter() - began


def _cpu(server: AirflowServer) -> float:
    roots = [psutil.Process(pid) for pid in server.pids.values()]
    processes = [p for root in roots for p in (root, *root.children(recursive=True))]
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # its parent has its time
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
