"""`plane preview`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.preview import preview
from controlplane.cli import present, results
from controlplane.cli.common import (
    HERE,
    Directory,
    Environment,
    Json,
    instant,
    opened,
    parse_pairs,
)

EXAMPLE = "Example: plane preview airport_delays --key origin=JFK --at 2013-06-01T12:00"


def command(
    view: Annotated[str, typer.Argument(help="Feature view, as the definition files have it.")],
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", "-k", help="Key column as name=value; repeatable (default: any entity)."
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Time of the values, in UTC, such as 2013-06-01T12:00.",
            show_default="the environment's now",
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="The most entities.")] = 100,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Show the values that a feature view would have, without a deploy.

    Computes them from the raw tables, as a training set from sources does, and writes nothing.
    Shows the nulls, the range and a histogram of each feature, and the first rows.
    """
    keys = parse_pairs("key", key or (), EXAMPLE)
    time = None if at is None else instant(at, "at")
    with (
        opened(directory, environment) as project,
        present.working(f"previewing {view}", quiet=json),
    ):
        previewed = preview(project, view, keys=keys, at=time, rows=rows)
        shown = previewed.rows
    if json:
        present.as_json(
            {
                "view": previewed.view,
                "at": previewed.at,
                "features": previewed.profiles,
                "rows": shown,
            }
        )
    else:
        results.preview(previewed)
