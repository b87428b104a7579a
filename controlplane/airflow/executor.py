"""Airflow's executor on one machine, for the embedded Airflow: a task finds what it imports already there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from airflow.executors.local_executor import LocalExecutor

from controlplane.errors import PlaneError


class WarmExecutor(LocalExecutor):
    """Workers are forked with everything imported that our tasks need, which is most of what a short task costs."""

    def start(self) -> None:
        """Import, then fork the workers."""
        # lazy: whoever asks Airflow for its settings imports its executor, and runs no task
        from airflow.sdk.execution_time import supervisor, task_runner  # noqa: F401

        # lazy: as above
        from controlplane.airflow import operators, work  # noqa: F401
        from controlplane.codec import batch  # noqa: F401
        from controlplane.project import connector

        for kind in _kinds():
            try:
                connector(kind)
            except PlaneError:
                pass  # the task that needs it will say so
        super().start()


def _kinds() -> Iterator[str]:
    """The connectors of the connections that the environment's variables hold."""
    for name, text in os.environ.items():
        if name.startswith("AIRFLOW_CONN_"):
            try:
                found = json.loads(text)
            except ValueError:
                continue  # a URI: none of ours
            if isinstance(found, dict) and isinstance(kind := found.get("conn_type"), str):
                yield kind.removeprefix("plane_")
