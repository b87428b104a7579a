"""`plane init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import Json, scaffold

EXAMPLE = "Example: plane init shop"


def command(
    directory: Annotated[
        Path, typer.Argument(help="Folder of the new project; made if need be.")
    ] = Path(),
    name: Annotated[
        str | None, typer.Option(help="Name of the project; the folder's unless given.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a small working project, to be edited.

    It has settings, definitions, and data to try them on.
    """
    written = scaffold(directory, name)
    if json:
        present.as_json({"written": [str(path) for path in written]})
        return
    for path in written:
        present.line(f"wrote {path}")
    go = "" if directory == Path() else f"cd {directory} && "
    present.line(
        f"Next: {go}plane plan && plane deploy && plane run && plane get example --key user_id=1"
    )
