"""`plane rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.rollback import rollback
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, approving, opened

EXAMPLE = "Example: plane rollback 3 --env production"


def command(
    number: Annotated[
        int | None,
        typer.Argument(help="Number of an earlier deployment (default: the previous one)."),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Do not ask before feature views or tables are dropped."),
    ] = False,
) -> None:
    """Deploy an earlier deployment again.

    The versions of feature views from that deployment are read and served immediately, with the
    intervals that were computed then. The next runs compute the missing intervals. Your definition
    files do not change: the next `plane deploy` applies them again.
    """
    approve = approving("Roll back", json=json, yes=yes)
    with (
        opened(directory, environment) as project,
        present.steps("rollback", quiet=json) as on_step,
    ):
        plan, deployment = rollback(project, number, on_step, approve)
    if json:
        present.as_json({"plan": plan, "deployment": None if deployment is None else deployment.id})
    elif deployment is not None:
        present.deployed(deployment)
