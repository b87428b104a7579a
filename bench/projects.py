"""Projects that a bench makes for itself: a folder with definitions, and its source tables."""

from __future__ import annotations

from pathlib import Path

import duckdb

_PLANE = """[project]
name = "bench"
dialect = "duckdb"
definitions = ["features.py"]

[environments.local]
now = "{now}"
warehouse = {{ kind = "duckdb", path = ".plane/warehouse.duckdb"{options} }}
"""
_ONLINE = 'online = { kind = "redis", embedded = true }\n'


def make(
    folder: Path, definitions: str, load: str, now: str, options: str = "", *, online: bool = False
) -> Path:
    """A project whose time stands still at `now`.

    `load` makes its source tables, `options` are the warehouse's; `online`: with the embedded store.
    """
    (folder / ".plane").mkdir(parents=True)
    settings = _PLANE.format(now=now, options=options) + (_ONLINE if online else "")
    (folder / "plane.toml").write_text(settings)
    (folder / "features.py").write_text(definitions)
    with duckdb.connect(str(warehouse(folder))) as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(load)
    return folder


def warehouse(folder: Path) -> Path:
    """The project's DuckDB file."""
    return folder / ".plane" / "warehouse.duckdb"
