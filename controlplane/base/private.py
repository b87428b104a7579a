"""Keep the folder `.plane` of a project private: other users of the machine have no rights on it.

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
    """Create a `.plane` folder, unless it exists.

    A failure is not reported here: the first write to the folder fails with a better message.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
        # The umask may have removed the owner's own rights from the mode of `mkdir`.
        folder.chmod(0o700)


def is_open(folder: Path) -> bool:
    """Tell whether other users may enter or read `folder`."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False


def close(folder: Path) -> int:
    """Remove all rights of other users on `folder` and its contents.

    Returns:
        The number of files and folders on which others had rights. Those that belong to another
        user are left unchanged.
    """
    return sum(map(_narrow, [folder, *_below(folder)]))


def close_entries(folders: Iterable[Path]) -> None:
    """Remove the rights of other users on `folders` and their direct entries.

    The embedded warehouse creates its files with the rights that the umask leaves, and has no
    setting for less.
    """
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for path in (folder, *(Path(entry.path) for entry in entries)):
                _narrow(path)


def between(outer: Path, inner: Path) -> list[Path]:
    """Return `inner` and its parents up to `outer`; empty if `inner` is not inside `outer`."""
    if not inner.is_relative_to(outer):
        return []
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(outer))]


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


def _narrow(path: Path) -> bool:
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        # A link's own mode means nothing, and `chmod` would change its target.
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
            return True
    return False
