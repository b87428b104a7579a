"""`plane online`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane

app = typer.Typer(
    help="The values in the online store, against the warehouse.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: plane online verify airport_delays --heal")
def verify(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views; all unless given.")] = None,
    heal: Annotated[
        bool, typer.Option("--heal", help="Write again what is missing or wrong, and bury what should not be there.")
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare the online store with the warehouse's newest rows, key by key.

    Of every version that readers are served or that was synced: keys that are missing, wrong, extra, or expire at
    another time. Syncs may go on meanwhile. Exits with 1 if something is wrong and was not healed.
    """
    with control_plane(directory, environment) as plane, present.progress(quiet=json, counted="rows") as on_progress:
        found = plane.online.verify(views or (), heal=heal, on_progress=on_progress)
    if json:
        present.as_json(found)
    else:
        verdicts.reconciled(found)
    if found.unhealed:
        raise typer.Exit(1)
