"""`plane rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, approving, control_plane

EXAMPLE = "Example: plane rollback 3 --env production"


def command(
    number: Annotated[
        int | None,
        typer.Argument(help="Of an earlier deployment; the one before the current unless given."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, even where feature views are dropped.")
    ] = False,
) -> None:
    """Deploy once more what was deployed earlier.

    Its versions show and are served at once, as far as they were computed; the next runs compute
    what they lack. The definition files stay as they are: a later `plane deploy` makes them true
    again.
    """
    approve = approving("Roll back", json=json, yes=yes)
    with (
        control_plane(directory, environment) as plane,
        present.steps("rollback", quiet=json) as on_step,
    ):
        plan, deployment = plane.rollback(number, on_step, approve=approve)
    if json:
        present.as_json({"plan": plan, "deployment": None if deployment is None else deployment.id})
    elif deployment is not None:
        present.deployed(deployment)
