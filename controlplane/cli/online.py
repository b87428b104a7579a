"""`plane online`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane
from controlplane.errors import PlaneError

app = typer.Typer(
    help="The values in the online store, against the warehouse.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: plane online verify airport_delays --heal")
def verify(
    views: Annotated[
        list[str] | None, typer.Argument(help="Feature views; all unless given.")
    ] = None,
    heal: Annotated[
        bool,
        typer.Option(
            "--heal",
            help="Write again what is missing or wrong, and bury what should not be there.",
        ),
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare the online store with the warehouse's newest rows, key by key.

    Of every version that readers are served or that was synced: keys that are missing, wrong,
    extra, or expire at another time. Syncs may go on meanwhile. Exits with 1 if something is wrong
    and was not healed.
    """
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json, counted="rows") as on_progress,
    ):
        found = plane.online.verify(views or (), heal=heal, on_progress=on_progress)
    if json:
        present.as_json(found)
    else:
        verdicts.reconciled(found)
    if found.unhealed:
        raise typer.Exit(1)


@app.command(epilog="Example: plane online versions")
def versions(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """List the versions of feature views that the online store holds values of.

    A redefined view is written under its new version while readers are served the old one, which
    stays for a rollback until `plane online clean`.
    """
    with control_plane(directory, environment) as plane:
        found = plane.online.versions()
    if json:
        present.as_json(found)
    else:
        verdicts.online_versions(found)


@app.command(epilog="Example: plane online take-over --env production")
def take_over(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Replace all online values by those of this warehouse, also where another one wrote them.

    For a warehouse that was made anew, or in place of another one with the same project and
    environment: its syncs are refused from then on. Exits with 1 if a key was not written.
    """
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json, counted="versions") as on_progress,
    ):
        ask = f"This replaces all online values of environment {plane.name}. Take over?"
        if not yes and (json or not present.confirm(ask)):
            raise PlaneError(
                "the take-over was not approved; nothing was written", hint="pass --yes"
            )
        found = plane.online.take_over(on_progress=on_progress)
    if json:
        present.as_json(found)
    else:
        verdicts.taken_over(found)
    if found.unhealed:
        raise typer.Exit(1)


@app.command(epilog="Example: plane online clean --keep 0 --dry-run")
def clean(
    keep: Annotated[
        int, typer.Option(min=0, help="Versions of each view to keep for a rollback.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    keys_per_second: Annotated[
        float, typer.Option(min=1, help="Remove at most so many keys a second.")
    ] = 50_000,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Remove the values of versions that are neither deployed nor served.

    It may be stopped and run again at any time.
    """
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json, counted="versions") as on_progress,
    ):
        found = plane.online.clean(
            keep=keep, dry_run=dry_run, keys_per_second=keys_per_second, on_progress=on_progress
        )
    if json:
        present.as_json(found)
    else:
        verdicts.cleaned(found)
