"""`plane forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.forget import forget
from controlplane.cli import present, verdicts
from controlplane.cli.common import HERE, Directory, Environment, Json, opened, parse_pairs
from controlplane.errors import PlaneError

EXAMPLE = "Example: plane forget --key user_id=42 --dry-run"


def command(
    key: Annotated[
        list[str],
        typer.Option("--key", "-k", help="Key column as name=value; repeat for each key column."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the rows that would be erased.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Erase an entity from tables, training sets and the online store.

    Erases it from all versions of all feature views, and shows the number of its rows in each
    table before and after. Raw tables are not changed: remove the entity's rows there first, or
    the next run that reads them computes the entity's features again. Exits with 1 if rows or
    online values remain.
    """
    keys = parse_pairs("key", key, EXAMPLE)
    with opened(directory, environment) as project, present.steps("forget", quiet=json) as on_step:
        if not (dry_run or yes):
            erasure = forget(project, keys, dry_run=True)
            # An erasure can't be undone, so its counts are shown before the question.
            if not json:
                verdicts.erasure(erasure)
            if json or not present.confirm("Erase all of this? This cannot be undone."):
                raise PlaneError(
                    "nothing was erased", hint="pass --yes to erase, or --dry-run to count only"
                )
        erasure = forget(project, keys, dry_run=dry_run, on_step=on_step)
    if json:
        present.as_json(erasure)
    else:
        verdicts.erasure(erasure)
    if erasure.at is not None and erasure.left:
        raise typer.Exit(1)
