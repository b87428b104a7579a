"""`plane plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import plans, present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane plan --env local"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes, for scripts."),
    ] = False,
) -> None:
    """Show what a deploy would change.

    Also what would then be computed, and when events become visible.
    """
    with control_plane(directory, environment) as plane:
        plan = plane.plan()
    if json:
        present.as_json(plan)
    else:
        plans.show(plan)
    if detailed_exitcode and not plan.empty:
        raise typer.Exit(2)
