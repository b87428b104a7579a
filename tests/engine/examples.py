"""The examples' definitions in the embedded warehouse and in another one, over three days of their
raw tables."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from connectors.duckdb.warehouse import canonical_type
from controlplane import ControlPlane
from controlplane.base.ports import Statement, Warehouse
from controlplane.sql.dialects import dialect
from controlplane.verify import Comparison
from tests.engine.engines import empty

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = tuple(
    sorted(
        folder.name
        for folder in (REPOSITORY / "examples").iterdir()
        if (folder / "features").is_dir()
    )
)
START, END = "2013-03-09", "2013-03-12"
RAW = {
    "departures": f"departed_at BETWEEN '{START}' AND '{END}'",
    "weather": f"observed_at BETWEEN '{START}' AND '{END}'",
    "planes": f"tailnum IN (SELECT tailnum FROM raw.departures WHERE departed_at BETWEEN '{START}' AND '{END}')",
    **dict.fromkeys(("orders", "payments", "prices", "clicks"), "TRUE"),
}
LEFT_OUT = ("test_*.py", "__pycache__", "clocks.py")
"""Files of examples that are not computed elsewhere: `clocks.py` is in DuckDB's own SQL."""
ROWS_AT_ONCE = 1000


def raw_tables(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database with all raw tables that the examples read: of flights and of patterns."""
    connection = duckdb.connect(str(folder / "examples.duckdb"))
    for name in ("01-flights", "07-patterns"):
        script = (REPOSITORY / "examples" / name / "load.sql").read_text(encoding="utf-8")
        connection.execute(script.replace("'data/", f"'{REPOSITORY}/examples/{name}/data/"))
    return connection


def load(raw: duckdb.DuckDBPyConnection, warehouse: Warehouse, definitions: str) -> None:
    """Copy the rows of three days of those raw tables that are read into a warehouse, as text that
    is cast there."""
    d = dialect(warehouse.dialect)
    run = [Statement("make the schema", "CREATE SCHEMA raw")]
    for table, wanted in RAW.items():
        if f'"raw.{table}"' not in definitions:
            continue
        columns = {
            name: d.type(canonical_type(kind))
            for name, kind, *_ in raw.execute(f"DESCRIBE SELECT * FROM raw.{table}").fetchall()
        }
        named = ", ".join(columns)
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        run.append(Statement("make a table", f"CREATE TABLE raw.{table} ({listed})"))
        texts = ", ".join(f"CAST({name} AS VARCHAR)" for name in columns)
        rows = raw.execute(f"SELECT {texts} FROM raw.{table} WHERE {wanted}").fetchall()
        cast = ", ".join(f"CAST({name} AS {kind})" for name, kind in columns.items())
        for first in range(0, len(rows), ROWS_AT_ONCE):
            values = ",\n".join(
                f"({', '.join('NULL' if value is None else d.text(value) for value in row)})"
                for row in rows[first : first + ROWS_AT_ONCE]
            )
            sql = (
                f"INSERT INTO raw.{table} SELECT {cast} FROM (VALUES {values}) AS written({named})"
            )
            run.append(Statement("fill a table", sql))
    warehouse.execute(run)


def compare(
    name: str,
    warehouse: Warehouse,
    options: Mapping[str, Any],
    raw: duckdb.DuckDBPyConnection,
    folder: Path,
    views: Sequence[str] = (),
) -> Comparison:
    """Compute an example in both warehouses, and compare the tables as `plane verify --against`
    does.

    Args:
        name: the example's folder.
        warehouse: the other warehouse, to fill it and to clean up behind.
        options: what a connector opens it with.
        raw: see `raw_tables`.
        folder: where the project is made.
        views: those that are computed and compared; all unless given.
    """
    shutil.copytree(
        REPOSITORY / "examples" / name / "features",
        folder / "features",
        ignore=shutil.ignore_patterns(*LEFT_OUT),
    )
    definitions = ""
    for file in (folder / "features").glob("*.py"):
        text = re.sub(r'start="[\d-]+', f'start="{START}', file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        definitions += text
    with _settings(folder, warehouse.dialect, options):
        try:
            for environment in ("other", "embedded"):
                with ControlPlane(folder, environment) as plane:
                    load(raw, plane.project.warehouse, definitions)
                    plane.deploy()
                    plane.run(views)
            with ControlPlane(folder, "other") as plane:
                return plane.verify_against("embedded", views)
        finally:
            empty(warehouse)


@contextmanager
def _settings(folder: Path, kind: str, options: Mapping[str, Any]) -> Iterator[None]:
    """A plane.toml with both environments, whose secrets stand in the environment's variables for
    as long."""
    secrets = {name: value for name, value in options.items() if name in ("token", "access_token")}
    listed = [f"{name} = {value!r}" for name, value in options.items() if name not in secrets]
    listed += [f'{name} = "${{EXAMPLES_{name.upper()}}}"' for name in secrets]
    now = f'now = "{END}T00:00:00Z"'
    (folder / "plane.toml").write_text(
        f'[project]\nname = "examples"\ndefinitions = ["features"]\n\n[environments.embedded]\n{now}\n'
        f'warehouse = {{ kind = "duckdb", path = "{folder / "embedded.duckdb"}" }}\n\n[environments.other]\n{now}\n'
        f'dialect = "{kind}"\nwarehouse = {{ kind = "{kind}", {", ".join(listed)} }}\n'
    )
    variables = {f"EXAMPLES_{name.upper()}": str(value) for name, value in secrets.items()}
    os.environ |= variables
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
