"""`plane dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from controlplane.api.dataset import create as create_dataset
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, opened
from controlplane.errors import PlaneError
from controlplane.training import datasets

app = typer.Typer(
    help="Create and list training sets (tables in the warehouse).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=(
        "Example: plane dataset create late_2013 --service late_arrival --spine raw.spine --time"
        " predict_at"
    )
)
def create(
    name: Annotated[
        str, typer.Argument(help="Name of the training set; each call creates a new version.")
    ],
    service: Annotated[
        str, typer.Option(help="Feature service whose features are joined to the spine.")
    ],
    spine: Annotated[
        str,
        typer.Option(
            help="Rows to train on, with keys, time and labels: a table, a query or a .sql file."
        ),
    ],
    time: Annotated[
        str, typer.Option(help="Column of the spine with the time of each prediction.")
    ],
    allow_gaps: Annotated[
        bool,
        typer.Option(
            "--allow-gaps",
            help="Use older values where intervals are not computed, instead of failing.",
        ),
    ] = False,
    as_of: Annotated[
        Literal["scheduled", "served"],
        typer.Option(
            help="scheduled: the values that were visible if every run was on time; served: the"
            " values that the tables really showed at that time."
        ),
    ] = "scheduled",
    from_source: Annotated[
        bool,
        typer.Option(
            "--from-source",
            help="Compute the features of the definition files from raw tables, without a deploy.",
        ),
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Create a training set from a spine.

    The spine is a table or a query with the keys, times and labels to train on. Each of its rows
    gets the values of the features that were visible at the row's time.
    """
    if spine.endswith(".sql"):
        try:
            # Editors on Windows write a byte order mark, which is no SQL.
            spine = Path(spine).read_text(encoding="utf-8-sig")
        except OSError as error:
            hint = "pass the path of a readable file, a table, or a query"
            raise PlaneError(
                f"--spine {spine} can't be read: {error.strerror}", hint=hint
            ) from None
        except UnicodeDecodeError:
            text = f"--spine {spine} can't be read: it is not UTF-8 text"
            raise PlaneError(text, hint="save it as UTF-8") from None
    with (
        opened(directory, environment) as project,
        present.working("creating the training set", quiet=json),
    ):
        created = create_dataset(
            project,
            name,
            service=service,
            spine=spine,
            time=time,
            allow_gaps=allow_gaps,
            as_of=as_of,
            from_source=from_source,
        )
    if json:
        present.as_json(created)
    else:
        present.line(f"created {created.table} with {created.row_count:,} rows")
        for sentence in created.without_values.sentences() if created.without_values else ():
            present.line(sentence)


# Named with an underscore: `list` is a builtin.
@app.command("list", epilog="Example: plane dataset list --json")
def list_(environment: Environment = None, directory: Directory = HERE, json: Json = False) -> None:
    """List all training sets."""
    with opened(directory, environment) as project:
        training_sets = datasets.existing(project.warehouse)
    if json:
        present.as_json(training_sets)
    else:
        present.datasets(training_sets)
