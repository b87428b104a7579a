"""`plane stop`."""

from __future__ import annotations

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane stop"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Stop the embedded Redis and Airflow of the project."""
    with control_plane(directory, environment) as plane:
        stopped = plane.stop_servers()
    if json:
        present.as_json({"stopped": stopped})
    else:
        present.line(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
