"""`plane history`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.history import history
from controlplane.cli import listings, present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane history --limit 5"


def command(
    limit: Annotated[int, typer.Option(min=1, help="The most deployments.")] = 20,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Show who deployed what, and when.

    The newest deployment is first. `plane rollback NUMBER` deploys an earlier one again.
    """
    with opened(directory, environment) as project:
        deployments = history(project, limit)
    if json:
        present.as_json(deployments)
    else:
        listings.history(deployments)
