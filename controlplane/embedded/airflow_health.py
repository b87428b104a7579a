"""How the embedded Airflow in a folder does: which of its components run, and which report
health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.embedded.airflow_client import AirflowClient
from controlplane.embedded.daemon import HOST, Daemon, alive, members, read_state, remembered

# Each with the name that the health report knows it by. Served logs would listen on every
# interface.
COMPONENTS = {
    "api-server": ("metadatabase", ["api-server"]),
    "scheduler": ("scheduler", ["scheduler", "--skip-serve-logs"]),
    "dag-processor": ("dag_processor", ["dag-processor"]),
    "triggerer": ("triggerer", ["triggerer", "--skip-serve-logs"]),
}


@dataclass(frozen=True)
class Ailing:
    """What is wrong with an Airflow that was started: components that have ended, and those that
    report no health."""

    ended: tuple[str, ...]
    silent: tuple[str, ...]


def ailing(home: Path) -> Ailing | None:
    """What keeps `find` from finding the Airflow in `home`; None where none was started, or it was
    stopped."""
    home = home.absolute()
    state = read_state(home / "state.json")
    daemons = daemons_of(state)
    if not daemons:
        return None
    running = {name for name, daemon in daemons.items() if alive(daemon)}
    silent = running - healthy(state) if running else set()
    return Ailing(tuple(sorted(COMPONENTS.keys() - running)), tuple(sorted(silent)))


def runs_process(home: Path, pid: int) -> bool:
    """Whether the Airflow in `home` runs a process, as a component, a worker or a task."""
    daemons = daemons_of(read_state(home.absolute() / "state.json"))
    return any(pid in members(daemon) for daemon in daemons.values())


def daemons_of(state: Mapping[str, Any]) -> dict[str, Daemon]:
    """The components that a folder's `state.json` records, running or not, by name."""
    records = state.get("processes", {})
    return {
        name: daemon
        for name in COMPONENTS
        if (daemon := remembered(records.get(name, {}).get("process")))
    }


def healthy(state: Mapping[str, Any]) -> set[str]:
    """The components that report health, and not only because one that died a moment ago had been
    healthy."""
    report = AirflowClient(f"http://{HOST}:{state['port']}").health()
    found = set()
    for name in state["processes"].keys() & COMPONENTS.keys():
        key = COMPONENTS[name][0]
        component = report.get(key) or {}
        beat = component.get(f"latest_{key}_heartbeat")
        since = datetime.fromisoformat(state["processes"][name]["since"])
        fresh = key == "metadatabase" or (
            beat is not None and datetime.fromisoformat(beat) >= since
        )
        if component.get("status") == "healthy" and fresh:
            found.add(name)
    return found
