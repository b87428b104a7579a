"""Starts components of Airflow by forking one process, so that their imports are done only once.

`python -m controlplane.airflow.launch FILE`, where the file is JSON with these keys:

- `parent`: the id of the process that waits for this one.
- `migrate`: set if the database must be created or migrated first: `log`, the file for the output;
  `stamp`, the file for the version after success; and `version`.
- `record`: the file that each component is recorded in, under `processes`.
- `components`: for each name, the `arguments` of Airflow's command line, and the file `log`.

Each component leads a session of its own. It starts only when it is recorded, so that an unrecorded
component never runs, even if this process is killed.
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
    """Fork the components, and end; in a forked process, run its component."""
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    # Files of components and tasks are for their owner alone: logs, the database, releases' caches.
    os.umask(0o077)
    # Imported objects are never garbage. Without the collector's marks in them, components share
    # their memory.
    gc.freeze()
    request = read_state(file)
    if os.getppid() != request["parent"]:
        sys.exit("the process that started this one has ended")
    if request["migrate"]:
        _migrate(**request["migrate"])
    record = Path(request["record"])
    state = read_state(record)
    for name, component in request["components"].items():
        since = datetime.now(UTC).isoformat()
        launcher_end, component_end = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            launcher_end.close()
            _lead(component_end, component["log"])
            _run(component["arguments"])
        component_end.close()
        launcher_end.recv(1)  # the component leads its session now
        state["processes"][name] = {"process": known(pid).record(), "since": since}
        write_state(record, state)
        launcher_end.send(b"\0")
        launcher_end.close()


def _migrate(log: str, stamp: str, version: str) -> None:
    pid = os.fork()
    if pid == 0:
        _redirect_output(log, os.O_TRUNC)
        _run(["db", "migrate"])
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"`airflow db migrate` failed:\n{tail(Path(log), 15)}")
    write_state(Path(stamp), {"airflow": version})


def _lead(launcher: socket.socket, log: str) -> None:
    """Start a session, and wait until this component is recorded."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _redirect_output(log, os.O_APPEND)
    launcher.send(b"\0")
    if not launcher.recv(1):
        os._exit(1)  # the launcher has ended, and this component is not recorded
    launcher.close()


def _redirect_output(log: str, flag: int) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _run(arguments: Sequence[str]) -> NoReturn:
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
    # Not sys.exit: freeing all imported objects one by one takes seconds for each component.
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
