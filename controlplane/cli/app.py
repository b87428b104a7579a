"""Assemble the commands of `plane`, and turn what they raise into an exit code."""

from __future__ import annotations

import gc
import io
import sys
from typing import Annotated

import typer

import controlplane
from controlplane.cli.lazy import LazyCommand

app = typer.Typer(
    name="plane",
    help="Define features as code; compute and serve them with your warehouse, Airflow and Redis.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes and colours would double the time that --help takes
    pretty_exceptions_enable=False,
)
_INTERRUPTED = 130  # typer's exit code after Ctrl-C
# Repeated from the commands' docstrings, which could not be read without importing all commands.
# A test compares them.
COMMANDS = {
    "init": "Create a small working project that you can edit.",
    "list": "List views, features, services, entities, sources or training sets.",
    "describe": "Describe a view, feature, service, entity, source or training set.",
    "preview": "Show the values that a feature view would have, without a deploy.",
    "sql": "Print the SQL of a feature view, as a deploy would render it.",
    "plan": "Show what a deploy would change.",
    "deploy": "Apply the plan.",
    "rollback": "Deploy an earlier deployment again.",
    "run": "Compute missing intervals and sync changes to the online store.",
    "status": "Show how fresh every feature view is.",
    "logs": "Show the last runs of a feature view.",
    "history": "Show who deployed what, and when.",
    "get": "Read the online features of one entity.",
    "forget": "Erase an entity from tables, training sets and the online store.",
    "schema": "Print the request and response schema of a feature service.",
    "verify": "Compare computed values with a brute-force evaluation.",
    "doctor": "Check the project's connections, versions, release and servers.",
    "stop": "Stop the project's embedded Redis and Airflow.",
    "dataset": "Create, list, show, export and drop training sets (tables in the warehouse).",
    "query": "Run a query in the warehouse, and show or export its rows.",
    "load": "Load a file into a new table of the embedded warehouse.",
    "online": "Check, list, replace and remove the values in the online store.",
    "airflow": "Run the project's DAGs in an Airflow on this machine.",
    "serve": "Serve online features over HTTP until stopped.",
    "bench": "Measure how fast a feature server answers.",
}
"""Command name -> first line of its help. The module of a command has the command's name."""


def _placeholder() -> None:
    """Stand in for a command: `LazyCommand` calls the function of the command's module instead."""


for _name, _summary in COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_summary)(_placeholder)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"plane {controlplane.__version__}")  # `present` would import rich
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


# Built when the module is imported: the tests' fork server builds it once for all its children.
_plane = typer.main.get_command(app)


def main() -> None:
    """Run one command, and exit.

    The exit code is 0, 1 (expected failure), 2 (usage, or changes found) or 3 (a bug).
    """
    # Most objects that a command creates live until it ends: with Python's default thresholds,
    # the garbage collector took 5 % of a plan's time. 1,000 views make over 300,000 objects.
    gc.set_threshold(500_000, 50, 50)
    _escape_what_streams_cannot_encode()
    try:
        _plane()
    except SystemExit as ended:
        if ended.code != _INTERRUPTED:
            raise
        sys.exit(_exit_code(ended))
    except Exception as error:
        sys.exit(_exit_code(error))


def _escape_what_streams_cannot_encode() -> None:
    """Escape characters that the terminal's encoding lacks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if the process has no such stream
            stream.reconfigure(errors="backslashreplace")


def _exit_code(error: BaseException) -> int:
    # lazy: rich takes half as long to import as typer, and `plane --help` needs none of it
    from controlplane.cli import failures

    return failures.explain(error)
