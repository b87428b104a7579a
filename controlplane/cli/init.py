"""`plane init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import Json
from controlplane.workspace.scaffold import scaffold

EXAMPLE = "Example: plane init shop"


def command(
    directory: Annotated[
        Path, typer.Argument(help="Folder of the new project; created if missing.")
    ] = Path(),
    name: Annotated[
        str | None, typer.Option(help="Name of the project (default: the name of the folder).")
    ] = None,
    json: Json = False,
) -> None:
    """Create a small working project that you can edit.

    The project has settings (plane.toml), feature definitions and sample data.
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
