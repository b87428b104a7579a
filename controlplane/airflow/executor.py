"""Airflow's executor on one machine, for the embedded Airflow: tasks begin soon, and find what they
import there."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator

from airflow.executors.local_executor import LocalExecutor
from airflow.settings import get_engine

from controlplane.errors import PlaneError

_REST = 3.0  # seconds
_LOOK = 0.25


class WarmExecutor(LocalExecutor):
    """Workers are forked with everything imported that our tasks need, which is most of what a
    short task costs.

    The scheduler rests here and not by itself (its `scheduler_idle_sleep_time` is to be 0): until
    somebody has written to Airflow's database, an SQLite file, as the api-server does when a task
    ends or a run is asked for.
    """

    def start(self) -> None:
        """Import, then fork the workers."""
        # lazy: whoever asks Airflow for its settings imports its executor, and runs no task
        from airflow.sdk.execution_time import supervisor, task_runner  # noqa: F401

        # lazy: as above
        from controlplane.airflow import operators, work  # noqa: F401

        # lazy: as above
        from controlplane.codec import batch  # noqa: F401

        # lazy: as above
        from controlplane.workspace.project import connector

        for kind in _kinds():
            try:
                connector(kind)
            except PlaneError:
                pass  # the task that needs it will say so
        super().start()
        path: str = get_engine().url.database  # type: ignore[no-untyped-call]
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._seen = self._version()

    def sync(self) -> None:
        """Rest, then collect what has ended; every turn of the scheduler comes here once."""
        end = time.monotonic() + _REST
        while True:
            time.sleep(_LOOK)
            now = self._version()
            if now != self._seen or time.monotonic() > end:
                break
        self._seen = now
        super().sync()

    def end(self) -> None:
        """Wait for the workers."""
        super().end()
        self._database.close()

    def _version(self) -> int:
        """A number that is another one after every transaction of another connection."""
        version: int = self._database.execute("PRAGMA data_version").fetchone()[0]
        return version


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
