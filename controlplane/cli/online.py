"""`plane online`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.online.facade import Online
from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, opened
from controlplane.errors import PlaneError

app = typer.Typer(
    help="Check, list, replace and remove the values in the online store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: plane online verify airport_delays --heal")
def verify(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views (default: all).")] = None,
    heal: Annotated[
        bool,
        typer.Option(
            "--heal",
            help="Write missing and wrong values again, and mark extra keys as deleted.",
        ),
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compare the online store with the newest rows in the warehouse, key by key.

    Checks all versions of feature views that are served or were synced. Counts keys that are
    missing or extra, that have a wrong value, or that expire at the wrong time. Runs and syncs may
    run at the same time. Exits with 1 if a difference was found and not healed.
    """
    with (
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="rows") as on_progress,
    ):
        verified = Online(project).verify(views or (), heal=heal, on_progress=on_progress)
    if json:
        present.as_json(verified)
    else:
        verdicts.reconciled(verified)
    if verified.unhealed:
        raise typer.Exit(1)


@app.command(epilog="Example: plane online versions")
def versions(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """List the versions of feature views that have values in the online store.

    A redefined feature view is written as a new version, while readers are served the old version.
    The old version stays for a rollback until `plane online clean` removes it.
    """
    with opened(directory, environment) as project:
        online_versions = Online(project).versions()
    if json:
        present.as_json(online_versions)
    else:
        verdicts.online_versions(online_versions)


@app.command(epilog="Example: plane online take-over --env production")
def take_over(
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Replace all online values with those of this warehouse, even if another warehouse wrote them.

    Use it after the warehouse was rebuilt, or replaced by another warehouse with the same project
    and environment. Syncs of the other warehouse are refused from then on. Exits with 1 if a key
    was not written.
    """
    with (
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="versions") as on_progress,
    ):
        ask = (
            f"This replaces all online values of environment {project.environment.name}. Take over?"
        )
        # With --json nobody can be asked.
        if not yes and (json or not present.confirm(ask)):
            raise PlaneError(
                "the take-over was not approved; nothing was written", hint="pass --yes"
            )
        taken = Online(project).take_over(on_progress=on_progress)
    if json:
        present.as_json(taken)
    else:
        verdicts.taken_over(taken)
    if taken.unhealed:
        raise typer.Exit(1)


@app.command(epilog="Example: plane online clean --keep 0 --dry-run")
def clean(
    keep: Annotated[
        int,
        typer.Option(
            min=0, help="Number of old versions of each feature view to keep for a rollback."
        ),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the versions that would be removed.")
    ] = False,
    keys_per_second: Annotated[
        float, typer.Option(min=1, help="Maximum number of keys to remove per second.")
    ] = 50_000,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Remove the online values of versions that are neither deployed nor served.

    You can stop it and run it again at any time.
    """
    with (
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="versions") as on_progress,
    ):
        cleaned = Online(project).clean(
            keep=keep, dry_run=dry_run, keys_per_second=keys_per_second, on_progress=on_progress
        )
    if json:
        present.as_json(cleaned)
    else:
        verdicts.cleaned(cleaned)
