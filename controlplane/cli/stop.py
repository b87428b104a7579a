"""`plane stop`."""

from __future__ import annotations

from controlplane.api.stop import stop_servers
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane stop"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Stop the project's embedded Redis and Airflow."""
    with opened(directory, environment) as project:
        stopped = stop_servers(project)
    if json:
        present.as_json({"stopped": stopped})
    else:
        present.line(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
