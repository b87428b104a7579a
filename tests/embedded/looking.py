"""What tests of the embedded Airflow look at: its processes, and the ports on which they listen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from controlplane.embedded.daemon import Daemon, read_state, remembered

Found = TypeVar("Found")


def daemons(home: Path) -> dict[str, Daemon]:
    processes = read_state(home / "state.json").get("processes", {})
    found = {name: remembered(entry["process"]) for name, entry in processes.items()}
    return {name: daemon for name, daemon in found.items() if daemon}


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Addresses (as the kernel spells them) and ports on which any of the processes listens."""
    sockets = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            link = str(entry.readlink()) if entry.is_symlink() else ""
            if link.startswith("socket:["):
                sockets.add(link.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def until(condition: Callable[[], Found | Literal[False] | None], seconds: float = 60.0) -> Found:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return result
