"""`plane run`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import (
    HERE,
    Directory,
    End,
    Environment,
    Json,
    Start,
    control_plane,
    interval,
)

EXAMPLE = "Example: plane run airport_delays --start 2013-06-01 --end 2013-07-01"


def command(
    views: Annotated[
        list[str] | None, typer.Argument(help="Feature views; all unless given.")
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    start: Start = None,
    end: End = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Also what is computed already.")
    ] = False,
    resync: Annotated[
        bool, typer.Option("--resync", help="Write every key online, not only what changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Compute every missing interval, and sync what changed.

    It runs the same tasks as the DAGs do.
    """
    within = interval(start, end)
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json) as on_progress,
    ):
        runs = plane.run(
            views or (), within=within, recompute=recompute, resync=resync, on_progress=on_progress
        )
    if json:
        present.as_json(runs)
    else:
        present.runs(runs)
