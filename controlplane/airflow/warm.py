"""What our tasks import, in one module: a worker that is forked from a process with it starts a
task at once."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.sdk.execution_time import supervisor, task_runner

from controlplane.airflow import operators, work
from controlplane.codec import batch
from controlplane.errors import PlaneError
from controlplane.workspace.connectors import connector

__all__ = ["batch", "load_connectors", "operators", "supervisor", "task_runner", "work"]


def load_connectors(kinds: Iterable[str]) -> None:
    """Import the connectors of these kinds, as far as they can be imported."""
    for kind in kinds:
        try:
            connector(kind)
        except PlaneError:
            pass  # the task that needs it will say so
