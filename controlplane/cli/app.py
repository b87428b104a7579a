"""Puts the commands together, and turns what they raise into exit codes."""

from __future__ import annotations

import gc
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import controlplane
from controlplane.cli import (
    airflow,
    bench,
    dataset,
    deploy,
    doctor,
    forget,
    get,
    init,
    online,
    plan,
    present,
    rollback,
    run,
    schema,
    serve,
    status,
    stop,
    verify,
)
from controlplane.errors import PlaneError, disk_error

app = typer.Typer(
    name="plane",
    help="Features as code over your own warehouse, Airflow and Redis.",
    no_args_is_help=True,
    rich_markup_mode=None,  # boxes and colours would double the time that --help takes
    pretty_exceptions_enable=False,
)
_INTERRUPTED = 130  # what typer makes of Ctrl-C
for module in (
    init,
    plan,
    deploy,
    rollback,
    run,
    status,
    get,
    forget,
    schema,
    verify,
    doctor,
    stop,
):
    app.command(epilog=module.EXAMPLE)(module.command)
    app.registered_commands[-1].name = module.__name__.rpartition(".")[2]
app.add_typer(dataset.app, name="dataset")
app.add_typer(online.app, name="online")
app.add_typer(airflow.app, name="airflow")
app.add_typer(serve.app, name="serve")
app.add_typer(bench.app, name="bench")


def _version(wanted: bool) -> None:
    if wanted:
        present.line(f"plane {controlplane.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run one command.

    The exit code is 0, 1 (expected failure), 2 (usage, or changes found) or 3 (a bug).
    """
    # Most of what a command makes lives until it ends: looking for garbage took a twentieth of a
    # plan's time.
    gc.set_threshold(100_000, 50, 50)
    present.escape_what_streams_cannot_encode()
    try:
        app()
    except PlaneError as error:
        present.error(error)
        sys.exit(1)
    except OSError as failed:
        told = disk_error(failed)
        if told is None:
            _report(failed)
        present.error(told)
        sys.exit(1)
    except SystemExit as ended:
        if ended.code != _INTERRUPTED:
            raise
        present.interrupted()
        sys.exit(1)
    except Exception as error:
        _report(error)


def _report(error: Exception) -> NoReturn:
    """Keep what a report of a bug needs, and end with exit code 3."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="plane-bug-",
            suffix=".txt",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as report:
            report.write(text)
    except OSError:
        present.bug(error, None)
        present.aside(text.rstrip())  # no folder for temporary files can be written
    else:
        present.bug(error, Path(report.name))
    sys.exit(3)
