"""`plane deploy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

if TYPE_CHECKING:
    from controlplane.plan.plan import Plan

EXAMPLE = "Example: plane deploy --env production --yes"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, even where feature views are dropped.")] = False,
) -> None:
    """Make the plan true.

    Creates tables, writes the release for Airflow, and records the deployment.
    """

    def approve(plan: Plan) -> bool:
        if not json:
            present.plan(plan)
        return yes or not plan.dropped or (not json and present.confirm(f"This drops {_names(plan)}. Deploy?"))

    with control_plane(directory, environment) as plane, present.steps("deploy", quiet=json) as on_step:
        plan, deployment = plane.deploy(on_step, approve=approve)
    if json:
        present.as_json({"plan": plan, "deployment": None if deployment is None else deployment.id})
    elif deployment is not None:
        present.deployed(deployment)


def _names(plan: Plan) -> str:
    return ", ".join(plan.dropped)
