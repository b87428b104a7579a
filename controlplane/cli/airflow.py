"""`plane airflow`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli import present
from controlplane.cli.common import (
    HERE,
    Directory,
    End,
    Environment,
    Json,
    Start,
    control_plane,
    interval,
)
from controlplane.errors import PlaneError

app = typer.Typer(
    help="The Airflow on this machine that runs the project's DAGs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: plane airflow up --port 8080")
def up(
    port: Annotated[
        int | None, typer.Option(help="Loopback port of the UI; a free one unless given.")
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Start Airflow on this machine, loopback only, with the project's connections, and return when
    it is healthy."""
    with (
        control_plane(directory, environment) as plane,
        present.steps("airflow", quiet=json) as on_step,
    ):
        server = plane.airflow.up(port=port, on_step=on_step)
    if json:
        file = str(server.password_file)
        present.as_json({"url": server.url, "username": server.username, "password_file": file})
    else:
        present.line(f"Airflow is up: {server.url}")
        present.line(f"Log in as {server.username}; `plane airflow password` shows the password.")


@app.command(epilog="Example: plane airflow password")
def password(
    environment: Environment = None, directory: Directory = HERE, json: Json = False
) -> None:
    """Show the password for the UI and the REST API of the Airflow on this machine; the user is
    `plane`."""
    with control_plane(directory, environment) as plane:
        username, secret = plane.airflow.username, plane.airflow.password()
    if json:
        present.as_json({"username": username, "password": secret})
    else:
        present.line(secret)


@app.command(epilog="Example: plane airflow down")
def down(environment: Environment = None, directory: Directory = HERE, json: Json = False) -> None:
    """Stop the Airflow on this machine, all of it."""
    with control_plane(directory, environment) as plane:
        ran = plane.airflow.down()
    if json:
        present.as_json({"stopped": ran})
    else:
        present.line("Airflow is down" if ran else "Airflow was not running")


@app.command(epilog="Example: plane airflow run --start 2013-12-31T18:00Z --end 2014-01-01")
def run(
    views: Annotated[
        list[str] | None, typer.Argument(help="Feature views; all unless given.")
    ] = None,
    start: Start = None,
    end: End = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Let the running Airflow compute a range, one run for each interval, and wait for it."""
    within = interval(start, end)
    if within is None:
        raise PlaneError(
            "give the range: --start and --end",
            hint="plane airflow run --start 2013-12-31 --end 2014-01-01",
        )
    with (
        control_plane(directory, environment) as plane,
        present.progress(quiet=json) as on_progress,
    ):
        found = plane.airflow.run(views or (), within, on_progress=on_progress)
    if json:
        present.as_json(found)
    else:
        present.airflow_runs(found)
    if any(state != "success" for states in found.values() for state in states.values()):
        raise typer.Exit(1)
