"""`plane forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane, named
from controlplane.errors import PlaneError

EXAMPLE = "Example: plane forget --key user_id=42 --dry-run"


def command(
    key: Annotated[
        list[str], typer.Option("--key", "-k", help="A key as name=value; once for each.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be erased.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Erase an entity: its rows in every version of every feature view and in training sets, and
    its online values.

    Tells what each table held and holds now. Raw tables are yours: remove its rows there first, or
    the next run that reads them computes its features anew. Exits with 1 if something is still
    there.
    """
    keys = named("key", key, EXAMPLE)
    with (
        control_plane(directory, environment) as plane,
        present.steps("forget", quiet=json) as on_step,
    ):
        if not (dry_run or yes):
            found = plane.forget(keys, dry_run=True)
            if not json:
                verdicts.erasure(found)
            if json or not present.confirm("Erase all of this? There is no way back."):
                raise PlaneError(
                    "nothing was erased", hint="erase with --yes, or look first with --dry-run"
                )
        found = plane.forget(keys, dry_run=dry_run, on_step=on_step)
    if json:
        present.as_json(found)
    else:
        verdicts.erasure(found)
    if found.at is not None and found.left:
        raise typer.Exit(1)
