"""Puts the commands together, and ends with the exit code of what they raise."""

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
    help="Features as code over your own warehouse, Airflow and Redis.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes and colours would double the time that --help takes
    pretty_exceptions_enable=False,
)
_INTERRUPTED = 130  # what typer makes of Ctrl-C
COMMANDS = {
    "init": "Make a small working project, to be edited.",
    "plan": "Show what a deploy would change.",
    "deploy": "Make the plan true.",
    "rollback": "Deploy once more what was deployed earlier.",
    "run": "Compute every missing interval, and sync what changed.",
    "status": "Show how fresh every feature view is.",
    "get": "Read the online features of one entity, as a model would.",
    "forget": (
        "Erase an entity: its rows in every version of every feature view and in training sets, "
        "and its online values."
    ),
    "schema": "Tell what a deployed feature service takes and gives, for programs in any language.",
    "verify": "Compare what is computed with brute force over the raw rows.",
    "doctor": "Check all that the project stands on.",
    "stop": "Stop the embedded Redis and Airflow of the project.",
    "dataset": "Training sets, as versioned tables in the warehouse.",
    "online": "The values in the online store, against the warehouse.",
    "airflow": "The Airflow on this machine that runs the project's DAGs.",
    "serve": "Serve online features over HTTP, until it is stopped.",
    "bench": "How fast it is.",
}
"""Each command's name, which is that of its module, and the first line of its help."""


def _placeholder() -> None:
    """Never called: a `LazyCommand` has its module's function called."""


for _name, _summary in COMMANDS.items():
    app.command(_name, cls=LazyCommand, help=_summary)(_placeholder)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plane {controlplane.__version__}")  # not with `present`, which imports rich
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


_plane = typer.main.get_command(app)


def main() -> None:
    """Run one command.

    The exit code is 0, 1 (expected failure), 2 (usage, or changes found) or 3 (a bug).
    """
    # Most of what a command makes lives until it ends: looking for garbage took a twentieth of a
    # plan's time.
    gc.set_threshold(100_000, 50, 50)
    _escape_what_streams_cannot_encode()
    try:
        _plane()
    except SystemExit as ended:
        if ended.code != _INTERRUPTED:
            raise
        sys.exit(_explained(ended))
    except Exception as error:
        sys.exit(_explained(error))


def _escape_what_streams_cannot_encode() -> None:
    """Have text that a terminal's encoding lacks escaped instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where a process has no such stream
            stream.reconfigure(errors="backslashreplace")


def _explained(error: BaseException) -> int:
    # lazy: rich takes half as long to import as typer, and `plane --help` needs none of it
    from controlplane.cli import failures

    return failures.explain(error)
