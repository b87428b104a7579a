"""`plane status`."""

from __future__ import annotations

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane status --json"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Show how fresh every feature view is.

    The last interval, its rows, gaps, and how far the online store is behind.
    """
    with control_plane(directory, environment) as plane:
        found = plane.status()
    if json:
        present.as_json(found)
    else:
        present.status(found)
