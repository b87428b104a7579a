"""The executor of the embedded Airflow: its tasks start quickly, with all imports done."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator

from airflow.executors.local_executor import LocalExecutor
from airflow.settings import get_engine

_IDLE_SECONDS = 3.0
_POLL_SECONDS = 0.25


class WarmExecutor(LocalExecutor):
    """Forks workers that have already imported the tasks' modules: most of a short task's time.

    The scheduler sleeps here instead of in its own loop (set `scheduler_idle_sleep_time` to 0). It
    wakes up when another process has written to Airflow's database, an SQLite file, as the
    api-server does when a task ends or a run is triggered.
    """

    def start(self) -> None:
        """Import the tasks' modules, then fork the workers."""
        # lazy: reading Airflow's settings imports its executor, also where no task runs
        from controlplane.airflow import warm

        warm.load_connectors(_connectors())
        super().start()
        path: str = get_engine().url.database  # type: ignore[no-untyped-call]
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._last_version = self._version()

    def sync(self) -> None:
        """Sleep, then collect the ended tasks; the scheduler's loop calls this once a turn."""
        end = time.monotonic() + _IDLE_SECONDS
        while True:
            time.sleep(_POLL_SECONDS)
            version = self._version()
            if version != self._last_version or time.monotonic() > end:
                break
        self._last_version = version
        super().sync()

    def end(self) -> None:
        """Wait for the workers."""
        super().end()
        self._database.close()

    def _version(self) -> int:
        """Return a number that changes with every transaction of another connection."""
        version: int = self._database.execute("PRAGMA data_version").fetchone()[0]
        return version


def _connectors() -> Iterator[str]:
    """Yield the connectors of the connections in environment variables."""
    for name, text in os.environ.items():
        if name.startswith("AIRFLOW_CONN_"):
            try:
                connection = json.loads(text)
            except ValueError:
                continue  # a URI: this package writes JSON
            if isinstance(connection, dict):
                conn_type = connection.get("conn_type")
                if isinstance(conn_type, str):
                    yield conn_type.removeprefix("plane_")
