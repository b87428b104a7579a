"""`plane deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, approving, control_plane

EXAMPLE = "Example: plane deploy --env production --yes"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, even where feature views are dropped.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take the schema over from another environment, project or state database.",
        ),
    ] = False,
) -> None:
    """Make the plan true.

    Creates tables, writes the release for Airflow, and records the deployment.
    """
    approve = approving("Deploy", json=json, yes=yes)
    with (
        control_plane(directory, environment) as plane,
        present.steps("deploy", quiet=json) as on_step,
    ):
        plan, deployment = plane.deploy(on_step, approve=approve, adopt=adopt)
    if json:
        present.as_json({"plan": plan, "deployment": None if deployment is None else deployment.id})
    elif deployment is not None:
        present.deployed(deployment)
    elif plan.actions:
        present.line("Made again what was missing or altered; the deployment is the same.")
