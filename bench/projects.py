"""Projects that a bench makes for itself: a folder with definitions, and its source tables."""

from __future__ import annotations

from pathlib import Path

import duckdb

_PLANE = """[project]
name = "bench"
definitions = ["features.py"]

[environments.local]
dialect = "{dialect}"
now = "{now}"
warehouse = {warehouse}
"""
_ONLINE = 'online = { kind = "redis", embedded = true }\n'


def make(
    folder: Path, definitions: str, load: str, now: str, options: str = "", *, online: bool = False
) -> Path:
    """A project whose time stands still at `now`.

    `load` makes its source tables, `options` are the warehouse's; `online`: with the embedded store.
    """
    settings = f'{{ kind = "duckdb", path = ".plane/warehouse.duckdb"{options} }}'
    make_elsewhere(folder, definitions, settings, now, "duckdb", online=online)
    with duckdb.connect(str(warehouse(folder))) as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(load)
    return folder


def make_elsewhere(
    folder: Path,
    definitions: str,
    settings: str,
    now: str,
    dialect: str = "snowflake",
    *,
    online: bool = False,
) -> Path:
    """A project whose source tables are in a warehouse that exists.

    `settings` are the warehouse's, as an inline table of TOML; `online`: with the embedded store.
    """
    (folder / ".plane").mkdir(parents=True)
    plane = _PLANE.format(now=now, warehouse=settings, dialect=dialect)
    (folder / "plane.toml").write_text(plane + (_ONLINE if online else ""))
    (folder / "features.py").write_text(definitions)
    return folder


def warehouse(folder: Path) -> Path:
    """The project's DuckDB file."""
    return folder / ".plane" / "warehouse.duckdb"
