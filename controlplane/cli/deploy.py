"""`plane deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane deploy --env production --yes"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, even where feature views are dropped.")] = False,
) -> None:
    """Make the plan true: create tables, write the Airflow release, record the deployment."""
    with control_plane(directory, environment) as plane:
        if not yes and not json:
            planned = plane.plan()
            dropped = planned.dropped
            if dropped and not present.confirm(f"This drops {', '.join(dropped)}. Deploy?"):
                raise typer.Exit(1)
        with present.steps("deploy", quiet=json) as on_step:
            plan, deployment = plane.deploy(on_step)
    if json:
        present.as_json({"plan": plan, "deployment": None if deployment is None else deployment.id})
    else:
        present.deployed(plan, deployment)
