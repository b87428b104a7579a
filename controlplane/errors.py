"""The errors that users see.

A `PlaneError` says what failed, where (file:line) and what to do. Runtime errors are split by
whether a retry can help: Airflow retries a `TransientError` and fails at once on a
`PermanentError`. `Problems` carries several errors, so that a user sees all of them at once.
Nothing is raised or printed here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Location:
    """A line of a user's file.

    Args:
        file: the path as the user wrote it.
        line: the number of the line, from 1; 0 means the whole file.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class PlaneError(Exception):
    """An expected failure.

    Args:
        message: what failed while doing what, in one sentence.
        where: the location in the user's files that causes it, if there is one.
        hint: what the user can do about it.
    """

    def __init__(self, message: str, *, where: Location | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  -> {self.hint}" if self.hint else text


class DefinitionError(PlaneError):
    """A definition is wrong: nothing was written. The user must edit the file that it names."""


class SettingsError(PlaneError):
    """`plane.toml`, or an environment variable that it names, is wrong or missing."""


class TransientError(PlaneError):
    """A temporary failure (a lock, a dropped connection): the same step can be retried."""


class FileInUse(TransientError):
    """Another process has a file open that only one process at a time can open.

    Args:
        message: as for `PlaneError`.
        pid: the id of that process; None if it is not known.
        hint: as for `PlaneError`.
    """

    def __init__(self, message: str, *, pid: int | None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pid = pid


class PermanentError(PlaneError):
    """A failure that a retry can't fix, such as wrong SQL or a changed column."""


class CheckFailed(PermanentError):
    """A check on staged rows failed: nothing was published and nothing was synced."""


class CalculationFailed(PermanentError):
    """A calculation can't be computed for some values."""


class MissingDriver(PlaneError):
    """A connector's driver is not installed: install the extra that the error names."""


_NO_SPACE = "free some space on that disk, or raise the quota; what was finished before is kept"
_NO_RIGHT = (
    "give your user write access to the file and its folder, or set another path in plane.toml"
)
_NO_FOLDER = "move away the file that has the name of a folder, or set another path in plane.toml"
_REMEDIES = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or use another disk",
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
}


def disk_remedy(text: str) -> str:
    """Say what to do about a full disk or missing rights on it.

    Args:
        text: an error of the operating system, or of a driver that repeats its words, such as
            `Could not write file "x": No space left on device`.

    Returns:
        The remedy; empty for any other error.
    """
    return next((hint for number, hint in _REMEDIES.items() if os.strerror(number) in text), "")


def disk_error(error: OSError) -> PlaneError | None:
    """Convert an operating system's refusal of a file to a `PlaneError`; None for other errors."""
    # A retry does not help with any of these, so Airflow must not repeat the task.
    hint = _REMEDIES.get(error.errno or 0)
    if hint is None:
        return None
    file = f"{error.filename} can't be used" if error.filename else "a file can't be used"
    return PermanentError(f"{file}: {error.strerror}", hint=hint)


class Problems(PlaneError):
    """Several problems found in one pass, sorted by file and line.

    Args:
        problems: at least one error; nested `Problems` are flattened.
    """

    def __init__(self, problems: Iterable[PlaneError]) -> None:
        flat: list[PlaneError] = []
        for problem in problems:
            flat.extend(problem.problems if isinstance(problem, Problems) else [problem])
        # Users fix problems file by file, from top to bottom.
        self.problems: Sequence[PlaneError] = sorted(
            flat, key=lambda p: (p.where or Location(""), p.message)
        )
        count = len(self.problems)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} found")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
