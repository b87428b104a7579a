"""`plane verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

EXAMPLE = "Example: plane verify airport_delays --cases 1000 --seed 7"


def command(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views; all unless given.")] = None,
    cases: Annotated[int, typer.Option(help="Entities and instants to ask each view about.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Which ones; any unless given.", show_default="random")] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare what is computed with brute force over the raw rows.

    Tables, training sets and online values at random entities and instants; exits with 1 if a value differs. It reads
    only.
    """
    with control_plane(directory, environment) as plane, present.progress(quiet=json, counted="cases") as on_progress:
        report = plane.verify(views or (), cases=cases, seed=seed, on_progress=on_progress)
    if json:
        present.as_json(report)
    else:
        present.verified(report)
    if report.mismatches:
        raise typer.Exit(1)
