"""`plane load`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.api.load import load
from controlplane.cli import present, results
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = "Example: plane load payments.parquet raw.payments"


def command(
    file: Annotated[
        Path, typer.Argument(help="A file that ends in .parquet, .csv, .json, .ndjson or .jsonl.")
    ],
    table: Annotated[str, typer.Argument(help="Name of the new table, with its schema.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the table if it exists.")
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Load a file into a new table of the embedded warehouse.

    The table gets the names of the file's columns, and their types; those of a CSV or JSON file are
    inferred. For other warehouses, use their own tools.
    """
    with (
        opened(directory, environment) as project,
        present.working(f"loading {file}", quiet=json),
    ):
        loaded = load(project, file, table, replace=replace)
    if json:
        present.as_json(loaded)
    else:
        results.loaded(loaded)
