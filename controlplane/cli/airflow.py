"""`plane airflow`."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.api.airflow import EmbeddedAirflow
from controlplane.cli import present
from controlplane.cli.common import HERE, Directory, End, Environment, Json, Start, interval, opened
from controlplane.errors import PlaneError

app = typer.Typer(
    help="Run the project's DAGs in an Airflow on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(epilog="Example: plane airflow up --port 8080")
def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the UI on 127.0.0.1 (default: a free port).")
    ] = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Start Airflow on this machine, and return when it is healthy.

    Airflow listens on 127.0.0.1 only. It gets the connections of the project's environment to the
    warehouse and the online store.
    """
    with opened(directory, environment) as project, present.steps("airflow", quiet=json) as on_step:
        server = EmbeddedAirflow(project).up(port=port, on_step=on_step)
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
    """Show the password of the user `plane`, for Airflow's UI and REST API on this machine."""
    with opened(directory, environment) as project:
        username, secret = EmbeddedAirflow.username, EmbeddedAirflow(project).password()
    if json:
        present.as_json({"username": username, "password": secret})
    else:
        present.line(secret)


@app.command(epilog="Example: plane airflow down")
def down(environment: Environment = None, directory: Directory = HERE, json: Json = False) -> None:
    """Stop all processes of the Airflow on this machine."""
    with opened(directory, environment) as project:
        ran = EmbeddedAirflow(project).down()
    if json:
        present.as_json({"stopped": ran})
    else:
        present.line("Airflow is down" if ran else "Airflow was not running")


@app.command(epilog="Example: plane airflow run --start 2013-12-31T18:00Z --end 2014-01-01")
def run(
    views: Annotated[list[str] | None, typer.Argument(help="Feature views (default: all).")] = None,
    start: Start = None,
    end: End = None,
    environment: Environment = None,
    directory: Directory = HERE,
    json: Json = False,
) -> None:
    """Compute a range in the running Airflow, one DAG run per interval, and wait for the runs.

    Exits with 1 if a run failed.
    """
    within = interval(start, end)
    # No default: all intervals since the start of a view may be thousands of DAG runs.
    if within is None:
        raise PlaneError(
            "the range is missing: pass --start, --end or both",
            hint="plane airflow run --start 2013-12-31 --end 2014-01-01",
        )
    with opened(directory, environment) as project, present.progress(quiet=json) as on_progress:
        runs = EmbeddedAirflow(project).run(views or (), within, on_progress=on_progress)
    if json:
        present.as_json(runs)
    else:
        present.airflow_runs(runs)
    if any(state != "success" for states in runs.values() for state in states.values()):
        raise typer.Exit(1)
