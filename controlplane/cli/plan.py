"""`plane plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.plan import plan
from controlplane.cli import plans, present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened
from controlplane.workspace.compiling import compile_project

EXAMPLE = "Example: plane plan --env local"


def command(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Show the statements that a deploy would run, in order.")
    ] = False,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes, for scripts."),
    ] = False,
) -> None:
    """Show what a deploy would change.

    Also shows the missing intervals, and when the values of an event that happens now become
    visible. Changes nothing.
    """
    with opened(directory, environment) as project:
        planned = plan(project, compile_project(project))
    if json:
        present.as_json(planned.plan)
    elif sql:
        plans.show_sql(planned.steps)
    else:
        plans.show(planned.plan)
    if detailed_exitcode and not planned.plan.empty:
        raise typer.Exit(2)
