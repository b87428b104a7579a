"""The folder `.plane` of a project: what is in it, other users of the machine neither read nor
change.

It holds the embedded warehouse, the record of deployments, releases, logs, and the passwords of
embedded servers.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = ".plane"
_OTHERS = 0o077


def make(folder: Path) -> None:
    """Make a `.plane` folder, unless it is there.

    One that can't be made is no error here: whoever writes to it says so, and what for.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
        # The mask takes bits away, never adds them; a mask of 0o700 would lock the owner out.
        folder.chmod(0o700)


def is_open(folder: Path) -> bool:
    """Whether other users may enter or read `folder`."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False


def close(folder: Path) -> int:
    """Take all rights away from other users, of `folder` and all that is in it.

    Returns:
        How many files and folders others had rights on. What belongs to another user stays as it
        is.
    """
    return sum(map(_narrow, [folder, *_below(folder)]))


def close_entries(folders: Iterable[Path]) -> None:
    """Take the rights of other users away from `folders` and what is directly in them, without
    looking deeper.

    The embedded warehouse makes its files as the mask of the process allows: there is no way to ask
    for less.
    """
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for path in (folder, *(Path(entry.path) for entry in entries)):
                _narrow(path)


def between(outer: Path, inner: Path) -> list[Path]:
    """`inner` and the folders above it, up to `outer`; empty where it is not in there."""
    if not inner.is_relative_to(outer):
        return []
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(outer))]


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


def _narrow(path: Path) -> bool:
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        # Of a link the mode means nothing, and what it leads to may be somebody else's.
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
            return True
    return False
