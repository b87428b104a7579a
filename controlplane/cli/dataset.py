"""`plane dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from controlplane.api import dataset
from controlplane.api.dataset import create as create_dataset
from controlplane.base.progress import Progress
from controlplane.cli import present, results
from controlplane.cli.common import HERE, Directory, Environment, Json, opened
from controlplane.errors import PlaneError

app = typer.Typer(
    help="Create, list, show, export and drop training sets (tables in the warehouse).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="Name of the training set.")]
Version = Annotated[int | None, typer.Option(min=1, help="Its version.", show_default="the newest")]


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
            help="Rows to train on, with keys, time and labels: a table, a query, or a file that"
            " ends in .sql, .parquet or .csv."
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
        present.as_json(created.to_dict())
    else:
        present.line(f"created {created.table} with {created.row_count:,} rows")
        for sentence in created.without_values.sentences() if created.without_values else ():
            present.line(sentence)


# Named with an underscore: `list` is a builtin.
@app.command("list", epilog="Example: plane dataset list --json")
def list_(environment: Environment = None, directory: Directory = HERE, json: Json = False) -> None:
    """List all training sets."""
    with opened(directory, environment) as project:
        training_sets = dataset.existing(project)
    if json:
        present.as_json([training_set.to_dict() for training_set in training_sets])
    else:
        present.datasets(training_sets)


@app.command(epilog="Example: plane dataset show late_2013")
def show(
    name: Name,
    version: Version = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Show how a training set was made, and its columns."""
    with opened(directory, environment) as project:
        shown = dataset.dataset(project, name, version)
        if json:
            details = {"definition": shown.definition, "columns": shown.columns}
            present.as_json({"training_set": shown.to_dict(), **details})
        else:
            results.training_set(shown)


@app.command(epilog="Example: plane dataset export late_2013 late_2013.parquet")
def export(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The file, which ends in .parquet or .csv.")],
    version: Version = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Write a training set to a Parquet or CSV file.

    The rows are streamed. The file appears when it is complete, and then replaces an earlier one.
    """
    with (
        opened(directory, environment) as project,
        present.progress(quiet=json, counted="rows") as on_progress,
    ):
        exported = dataset.dataset(project, name, version)

        def on_rows(count: int) -> None:
            on_progress(Progress(exported.name, str(file), count, exported.row_count))

        on_rows(0)
        count = exported.export(file, on_rows)
    if json:
        present.as_json({"training_set": exported.to_dict(), "file": str(file), "rows": count})
    else:
        present.line(f"wrote {file}: {count:,} rows of {exported.table}")


@app.command(epilog="Example: plane dataset drop late_2013 --version 1")
def drop(
    name: Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="Its version.", show_default="all versions")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Drop the tables of a training set.

    The record of how it was made stays in `_plane.datasets`, and no later version gets its number.
    """
    with opened(directory, environment) as project:
        dropped = dataset.versions(project, name, version)
        if not yes:
            if not json:
                present.datasets(dropped)
            if json or not present.confirm("Drop these tables? This cannot be undone."):
                raise PlaneError(
                    "nothing was dropped", hint="pass --yes to drop without a question"
                )
        for training_set in dropped:
            dataset.drop(project, training_set)
    if json:
        present.as_json([training_set.to_dict() for training_set in dropped])
    else:
        for training_set in dropped:
            present.line(f"dropped {training_set.table}")
