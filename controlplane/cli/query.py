"""`plane query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.api.query import query
from controlplane.cli import present, results
from controlplane.cli.common import HERE, Directory, Environment, Json, opened

EXAMPLE = 'Example: plane query "SELECT * FROM features.airport_delays" -o delays.parquet'


def command(
    sql: Annotated[str, typer.Argument(help="One SELECT, in the SQL of the environment.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write all rows to this file, which ends in .parquet or .csv."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows to show.")] = 20,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Run a query in the warehouse, and show or export its rows.

    Only a SELECT is run, so a query changes nothing.
    """
    with opened(directory, environment) as project:
        with present.working("running the query", quiet=json):
            result = query(project, sql)
            count = None if output is None else result.export(output)
            shown = [] if output else result.head(rows + 1)
        columns = dict(result.columns)
    more = len(shown) > rows
    if output is not None:
        if json:
            present.as_json({"file": str(output), "rows": count, "columns": columns})
        else:
            present.line(f"wrote {output}: {count:,} rows")
    elif json:
        present.as_json({"columns": columns, "rows": shown[:rows], "more": more})
    else:
        results.rows(columns, shown[:rows])
        results.counted(len(shown[:rows]), more=more)
