"""A new project's first files, and a little data to try them on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controlplane import settings, template
from controlplane.errors import PlaneError
from controlplane.naming import is_name
from controlplane.project import open_warehouse
from controlplane.render.statements import split

_DAYS = 10
_MINUTES_APART = 7


def scaffold(directory: Path, name: str | None = None) -> list[Path]:
    """Write plane.toml, a definition file and .gitignore, and load sample rows into the embedded warehouse.

    Args:
        directory: made if need be; it must not hold a project already.
        name: of the project; the folder's unless given.

    Returns:
        The files that were written.

    Raises:
        PlaneError: there is a project already, the name can't be used, or the folder can't be written.
    """
    chosen = name or re.sub(r"[^A-Za-z0-9]+", "_", directory.resolve().name).strip("_")
    if not is_name(chosen):
        raise PlaneError(f"{chosen!r} can't name a project", hint="give --name: letters, digits, single underscores")
    if (directory / settings.FILE).exists():
        raise PlaneError(f"{directory / settings.FILE} exists already", hint="edit it, or choose another folder")
    start = (datetime.now(UTC) - timedelta(days=_DAYS)).date().isoformat()
    context = {"name": chosen, "start": start, "rows": _DAYS * 24 * 60 // _MINUTES_APART}
    files = {
        directory / settings.FILE: template.render("project/plane.toml.j2", context),
        directory / "features" / "example.py": template.render("project/example.py.j2", context),
        directory / ".gitignore": ".plane/\n",
    }
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlaneError(f"the project can't be written to {directory}: {error.strerror}") from None
    warehouse = open_warehouse("duckdb", {"path": str(directory / ".plane" / "warehouse.duckdb")})
    try:
        warehouse.execute(split(template.render("project/data.sql.j2", context)))
    finally:
        warehouse.close()
    return list(files)
