"""Turns what a command raises into words and an exit code."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from controlplane.cli import present
from controlplane.errors import PlaneError, disk_error


def explain(error: BaseException) -> int:
    """Print what a command ended with, and return the exit code: 1 for an expected failure, 3 for a
    bug."""
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
    """Keep what a report of a bug needs."""
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
