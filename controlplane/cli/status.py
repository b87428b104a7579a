"""`plane status`."""

from __future__ import annotations

from controlplane.api.status import status
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane status --json"


def command(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Show how fresh every feature view is.

    Shows the last computed interval of each feature view and its rows, the number of missing
    intervals, and how far the online store is behind the warehouse.
    """
    with opened(directory, environment) as project:
        views = status(project)
    if json:
        present.as_json(views)
    else:
        present.status(views)
