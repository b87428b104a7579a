"""`plane deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.deploy import deploy
from controlplane.api.plan import plan
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, approving, opened
from controlplane.workspace.compiling import compile_project

EXAMPLE = "Example: plane deploy --env production --yes"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do not ask before feature views or tables are dropped."),
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take over the schema from another environment, project or state database.",
        ),
    ] = False,
) -> None:
    """Apply the plan.

    Creates tables, writes the release (DAGs and SQL files) for Airflow, and records the deployment.
    To see the plan first, run `plane plan`.
    """
    approve = approving("Deploy", json=json, yes=yes)
    with opened(directory, environment) as project, present.steps("deploy", quiet=json) as on_step:
        planned = plan(project, compile_project(project), adopt=adopt)
        applied, deployment = deploy(project, planned, on_step, approve)
    if json:
        present.as_json(
            {"plan": applied, "deployment": None if deployment is None else deployment.id}
        )
    elif deployment is not None:
        present.deployed(deployment)
    # An empty plan has been shown by `approve`: no line is left to print.
    elif applied.actions:
        present.line("Repaired what was missing or altered; the deployment number did not change.")
