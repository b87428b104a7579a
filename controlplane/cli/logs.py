"""`plane logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.logs import logs
from controlplane.cli import listings, present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane logs airport_delays --limit 5"


def command(
    view: Annotated[str, typer.Argument(help="Feature view.")],
    limit: Annotated[int, typer.Option(min=1, help="The most runs.")] = 20,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Show the last runs of a feature view.

    Shows what the warehouse recorded: when each run published which intervals and how many rows,
    and the expectations that were not met. The newest run is first.
    """
    with opened(directory, environment) as project:
        entries = logs(project, view, limit)
    if json:
        present.as_json(entries)
    else:
        listings.logs(entries)
