"""`plane run`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.run import run
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, End, Environment, Json, Start, interval, opened

EXAMPLE = "Example: plane run airport_delays --start 2013-06-01 --end 2013-07-01"


def command(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views (default: all).")] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    start: Start = None,
    end: End = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Also compute intervals that are already computed.")
    ] = False,
    resync: Annotated[
        bool,
        typer.Option("--resync", help="Write all keys to the online store, not only changed keys."),
    ] = False,
    json: Json = False,
) -> None:
    """Compute missing intervals and sync changes to the online store.

    Runs the same tasks as the DAGs in Airflow. With --start and --end, computes only the intervals
    in this range.
    """
    within = interval(start, end)
    with opened(directory, environment) as project, present.progress(quiet=json) as on_progress:
        runs = run(
            project,
            views or (),
            within=within,
            recompute=recompute,
            resync=resync,
            on_progress=on_progress,
        )
    if json:
        present.as_json(runs)
    else:
        present.runs(runs)
