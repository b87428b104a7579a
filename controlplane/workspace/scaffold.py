"""Writes the first files of a new project, and sample data for them."""

from __future__ import annotations

import errno
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controlplane.base import private, template
from controlplane.base.naming import is_name
from controlplane.errors import PlaneError, disk_remedy
from controlplane.sql.statements import read
from controlplane.workspace import settings
from controlplane.workspace.connectors import open_warehouse

_DAYS = 10
_MINUTES_APART = 7
_IGNORED = f"{private.FOLDER}/\n"


def scaffold(directory: Path, name: str | None = None) -> list[Path]:
    """Write a new project's files, and load sample rows into its warehouse.

    The files are plane.toml, definitions with a test, and .gitignore.

    Args:
        directory: the project's folder, which is created if it does not exist.
        name: the project's name (default: the folder's name).

    Returns:
        The files that were written.

    Raises:
        PlaneError: the folder has a project already or can't be written, or the name can't be used.
    """
    chosen = name or re.sub(r"[^A-Za-z0-9]+", "_", directory.resolve().name).strip("_")
    if not is_name(chosen):
        raise PlaneError(
            f"{chosen!r} is not a valid name of a project",
            hint="give --name: letters, digits, single underscores",
        )
    if (directory / settings.FILE).exists():
        raise PlaneError(
            f"{directory / settings.FILE} exists already", hint="edit it, or choose another folder"
        )
    start = (datetime.now(UTC) - timedelta(days=_DAYS)).date().isoformat()
    context = {"name": chosen, "start": start, "rows": _DAYS * 24 * 60 // _MINUTES_APART}
    features, ignore, toml = (
        directory / "features",
        directory / ".gitignore",
        directory / settings.FILE,
    )
    example, test = features / "example.py", features / "test_example.py"
    try:
        _write(example, template.render("project/example.py.j2", context))
        _write(test, template.render("project/test.py.j2", context))
        _ignore(ignore)
        folder = directory / private.FOLDER
        private.make(folder)
        _load(folder / "warehouse.duckdb", template.render("project/data.sql.j2", context))
        private.close(folder)
        # Settings come last: they make the folder a project, and until then this can be repeated.
        _write(toml, template.render("project/plane.toml.j2", context))
    except OSError as error:
        hint = "make it writable, or choose another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = disk_remedy(str(error))
        raise PlaneError(
            f"the project can't be written to {directory}: {error.strerror}", hint=hint
        ) from None
    return [toml, example, test, ignore]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same text may be left from an attempt that failed before it wrote the settings.
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise PlaneError(f"{path} exists already", hint="move it away, or choose another folder")
    _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically: a full disk must leave neither half a file nor an empty one."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(text.encode("utf-8", "surrogateescape"))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _load(warehouse: Path, sql: str) -> None:
    # Closed at once: DuckDB lets one process at a time open a file.
    opened = open_warehouse("duckdb", {"path": str(warehouse)})
    try:
        opened.execute(read(sql))
    finally:
        opened.close()


def _ignore(path: Path) -> None:
    """Add the folder `.plane` to a .gitignore."""
    # surrogateescape: bytes of another encoding stay unchanged.
    text = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
    if _IGNORED not in text.splitlines(keepends=True):
        _replace(path, text + ("\n" if text and not text.endswith("\n") else "") + _IGNORED)
