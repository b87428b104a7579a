"""Starts components of Airflow out of one process, which imports once what each of them would.

`python -m controlplane.airflow.launch FILE`, where the file is JSON: `parent`, the process that waits for this one;
`record`, the file among whose `processes` each component is noted; and `components`, of each its name, the `arguments`
of Airflow's command line and its `log`. Each component leads a session of its own, and begins when it is on record:
wherever this ends, nothing runs that nobody knows of.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from airflow import __main__ as command
from airflow.cli.commands import dag_processor_command, scheduler_command, triggerer_command  # noqa: F401
from airflow.providers_manager import ProvidersManager
from setproctitle import setproctitle

from controlplane.local.daemon import known, read_state, write_state


def main(file: Path) -> None:
    """Fork each component, and end; in a component, be it until it ends."""
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    wanted = read_state(file)
    if os.getppid() != wanted["parent"]:
        sys.exit("who asked for this has gone")
    record = Path(wanted["record"])
    state = read_state(record)
    for name, component in wanted["components"].items():
        since = datetime.now(UTC).isoformat()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _be(component["arguments"], component["log"], theirs)
        theirs.close()
        ours.recv(1)  # it leads its session
        state["processes"][name] = {"process": known(pid).record(), "since": since}
        write_state(record, state)
        ours.send(b"\0")
        ours.close()


def _be(arguments: Sequence[str], log: str, launcher: socket.socket) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for end, fd in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(end, fd)
    os.close(nothing)
    os.close(said)
    launcher.send(b"\0")
    if not launcher.recv(1):
        os._exit(1)  # the launcher has gone, and nobody knows of this
    launcher.close()
    sys.argv = ["airflow", *arguments]
    setproctitle(f"airflow {' '.join(arguments)}")
    sys.exit(command.main())  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
