"""`plane sql`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.sql import sql
from controlplane.cli import present, results
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane sql airport_delays --statement stage"


def command(
    view: Annotated[str, typer.Argument(help="Feature view, as the definition files have it.")],
    statement: Annotated[
        str | None,
        typer.Option(
            help="Task (setup, stage, check, publish, unstage, sync or doors), or name of a"
            " statement.",
            show_default="all",
        ),
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Print the SQL of a feature view, as a deploy would render it.

    Names such as `plane.start` in braces are variables, which each run fills.
    """
    with opened(directory, environment) as project:
        statements = sql(project, view, statement)
    if json:
        present.as_json(statements)
    else:
        results.statements(statements)
