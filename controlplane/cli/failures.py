"""Turn what a command raises into a message and an exit code."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from controlplane.cli import present
from controlplane.errors import PlaneError, disk_error


def explain(error: BaseException) -> int:
    """Print why a command failed; return exit code 1 (expected failure) or 3 (a bug)."""
    # typer turns Ctrl-C into SystemExit(130); main() passes no other SystemExit.
    if isinstance(error, SystemExit):
        present.interrupted()
        return 1
    expected = disk_error(error) if isinstance(error, OSError) else error
    if isinstance(expected, PlaneError):
        present.error(expected)
        return 1
    _report(error)
    return 3


def _report(error: BaseException) -> None:
    """Print a bug, and save its traceback to a file that can be attached to a report."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            prefix="plane-bug-",
            suffix=".txt",
            delete=False,  # the user attaches it to a report
            encoding="utf-8",
            errors="backslashreplace",
        ) as report:
            report.write(text)
    except OSError:
        present.bug(error, None)
        present.to_stderr(text.rstrip())  # no folder for temporary files is writable
    else:
        present.bug(error, Path(report.name))
