"""Starts components of Airflow out of one process, which imports once what each of them would.

`python -m controlplane.airflow.launch FILE`, where the file is JSON: `parent`, the process that waits for this one, and
`components`, of each its name, the `arguments` of Airflow's command line and its `log`. The process ids are written to
the same file as `pids`. Each component leads a session of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow import __main__ as command
from airflow.cli.commands import dag_processor_command, scheduler_command, triggerer_command  # noqa: F401
from airflow.providers_manager import ProvidersManager
from setproctitle import setproctitle

from controlplane.local.daemon import read_state, write_state


def main(file: Path) -> None:
    """Fork each component, and end; in a component, be it until it ends."""
    ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    wanted = read_state(file)
    if os.getppid() != wanted["parent"]:
        sys.exit("who asked for this has gone")
    pids: dict[str, int] = {}
    for name, component in wanted["components"].items():
        pids[name] = os.fork()
        if pids[name] == 0:
            _be(component["arguments"], component["log"])
    write_state(file, {**wanted, "pids": pids})


def _be(arguments: Sequence[str], log: str) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for end, fd in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(end, fd)
    os.close(nothing)
    os.close(said)
    sys.argv = ["airflow", *arguments]
    setproctitle(f"airflow {' '.join(arguments)}")
    sys.exit(command.main())  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
