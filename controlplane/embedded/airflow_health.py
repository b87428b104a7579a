"""The health of the embedded Airflow in a folder: the components that run, and those healthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.embedded.airflow_client import AirflowClient
from controlplane.embedded.daemon import HOST, Daemon, alive, members, read_state, remembered

# For each component, its name in the health report, and its command line. Without
# --skip-serve-logs, a server of logs would listen on every interface.
COMPONENTS = {
    "api-server": ("metadatabase", ["api-server"]),
    "scheduler": ("scheduler", ["scheduler", "--skip-serve-logs"]),
    "dag-processor": ("dag_processor", ["dag-processor"]),
    "triggerer": ("triggerer", ["triggerer", "--skip-serve-logs"]),
}


@dataclass(frozen=True)
class Ailing:
    """The problems of an Airflow that was started.

    Attributes:
        ended: the components that have ended.
        silent: the components that run, but don't report health.
    """

    ended: tuple[str, ...]
    silent: tuple[str, ...]


def ailing(home: Path) -> Ailing | None:
    """Return the problems of the Airflow in `home`; None if it was not started, or was stopped."""
    home = home.absolute()
    state = read_state(home / "state.json")
    daemons = daemons_of(state)
    if not daemons:
        return None
    running = {name for name, daemon in daemons.items() if alive(daemon)}
    silent = running - healthy(state) if running else set()
    return Ailing(tuple(sorted(COMPONENTS.keys() - running)), tuple(sorted(silent)))


def runs_process(home: Path, pid: int) -> bool:
    """Return whether a process is one of the Airflow in `home`: a component, a worker or a task."""
    daemons = daemons_of(read_state(home.absolute() / "state.json"))
    return any(pid in members(daemon) for daemon in daemons.values())


def daemons_of(state: Mapping[str, Any]) -> dict[str, Daemon]:
    """Return the components in a folder's `state.json` by name, running or not."""
    records = state.get("processes", {})
    return {
        name: daemon
        for name in COMPONENTS
        if (daemon := remembered(records.get(name, {}).get("process")))
    }


def healthy(state: Mapping[str, Any]) -> set[str]:
    """Return the components that report health since they were started."""
    report = AirflowClient(f"http://{HOST}:{state['port']}").health()
    components = set()
    for name in state["processes"].keys() & COMPONENTS.keys():
        key = COMPONENTS[name][0]
        component = report.get(key) or {}
        beat = component.get(f"latest_{key}_heartbeat")
        since = datetime.fromisoformat(state["processes"][name]["since"])
        # Airflow reports a heartbeat for a while after its process has died; one from before this
        # start says nothing.
        fresh = key == "metadatabase" or (
            beat is not None and datetime.fromisoformat(beat) >= since
        )
        if component.get("status") == "healthy" and fresh:
            components.add(name)
    return components
