"""`plane dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, Environment, Json, control_plane
from controlplane.errors import PlaneError

app = typer.Typer(
    help="Training sets, as versioned tables in the warehouse.",
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
        str, typer.Argument(help="Name of the training set; each creation is a new version.")
    ],
    service: Annotated[str, typer.Option(help="Feature service whose features it gets.")],
    spine: Annotated[
        str,
        typer.Option(help="Table, query, or .sql file with the keys, the time, and the labels."),
    ],
    time: Annotated[
        str, typer.Option(help="The spine's column with the instant of each prediction.")
    ],
    allow_gaps: Annotated[
        bool,
        typer.Option("--allow-gaps", help="Carry old values over intervals that are not computed."),
    ] = False,
    as_of: Annotated[
        Literal["scheduled", "served"],
        typer.Option(
            help="Values as they should have been visible, or as the tables really showed them."
        ),
    ] = "scheduled",
    from_source: Annotated[
        bool,
        typer.Option(
            "--from-source",
            help="Compute the features from their sources; nothing need be deployed.",
        ),
    ] = False,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Create a training set: each row of the spine with every feature as it was visible at the
    row's time."""
    if spine.endswith(".sql"):
        try:
            spine = Path(spine).read_text(encoding="utf-8-sig")
        except OSError as error:
            hint = "give the path of a file that is there, a table, or a query"
            raise PlaneError(
                f"--spine {spine} can't be read: {error.strerror}", hint=hint
            ) from None
        except UnicodeDecodeError:
            text = f"--spine {spine} can't be read: it is not UTF-8 text"
            raise PlaneError(text, hint="save it as UTF-8") from None
    with (
        control_plane(directory, environment) as plane,
        present.working("creating the training set", quiet=json),
    ):
        created = plane.create_dataset(
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


@app.command("list", epilog="Example: plane dataset list --json")
def list_(environment: Environment = None, directory: Directory = HERE, json: Json = False) -> None:
    """List all training sets."""
    with control_plane(directory, environment) as plane:
        found = plane.datasets()
    if json:
        present.as_json(found)
    else:
        present.datasets(found)
