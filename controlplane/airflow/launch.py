"""Starts components of Airflow out of one process, which imports once what each of them would.

`python -m controlplane.airflow.launch FILE`, where the file is JSON: `parent`, the process that
waits for this one; `migrate`, if the database is to be made or migrated first: its `log` and the
`stamp` that then tells the `version`; `record`, the file among whose `processes` each component is
noted; and `components`, of each its name, the `arguments` of Airflow's command line and its `log`.
Each component leads a session of its own, and begins when it is on record: wherever this ends,
nothing runs that nobody knows of.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from airflow import __main__ as command
from airflow.api_fastapi.execution_api import app  # noqa: F401
from airflow.cli.commands import (  # noqa: F401
    dag_processor_command,
    scheduler_command,
    triggerer_command,
)
from airflow.migrations import db_types  # noqa: F401
from airflow.providers_manager import ProvidersManager
from setproctitle import setproctitle

from controlplane.embedded.daemon import known, read_state, tail, write_state


def main(file: Path) -> None:
    """Fork each component, and end; in a component, be it until it ends."""
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    # What components and tasks write is their owner's alone: logs, the database, releases' caches.
    os.umask(0o077)
    # What is imported stays: the collector need not scan it, and components share its memory.
    gc.freeze()
    wanted = read_state(file)
    if os.getppid() != wanted["parent"]:
        sys.exit("who asked for this has gone")
    if wanted["migrate"]:
        _migrate(**wanted["migrate"])
    record = Path(wanted["record"])
    state = read_state(record)
    for name, component in wanted["components"].items():
        since = datetime.now(UTC).isoformat()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _lead(theirs, component["log"])
            _be(component["arguments"])
        theirs.close()
        ours.recv(1)  # it leads its session
        state["processes"][name] = {"process": known(pid).record(), "since": since}
        write_state(record, state)
        ours.send(b"\0")
        ours.close()


def _migrate(log: str, stamp: str, version: str) -> None:
    pid = os.fork()
    if pid == 0:
        _say_into(log, os.O_TRUNC)
        _be(["db", "migrate"])
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"`airflow db migrate` failed:\n{tail(Path(log), 15)}")
    write_state(Path(stamp), {"airflow": version})


def _lead(launcher: socket.socket, log: str) -> None:
    """Lead a session, and go on when this is on record."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _say_into(log, os.O_APPEND)
    launcher.send(b"\0")
    if not launcher.recv(1):
        os._exit(1)  # the launcher has gone, and nobody knows of this
    launcher.close()


def _say_into(log: str, how: int) -> None:
    said = os.open(log, os.O_WRONLY | os.O_CREAT | how, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)


def _be(arguments: Sequence[str]) -> NoReturn:
    sys.argv = ["airflow", *arguments]
    setproctitle(f"airflow {' '.join(arguments)}")
    try:
        command.main()  # type: ignore[no-untyped-call]
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python would tear down all that was imported, one object at a time: seconds for each
    # component.
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
