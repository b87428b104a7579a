"""Load a file into a table of the embedded warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.base import naming
from controlplane.base.ports import Statement
from controlplane.compile.transformation import table_parts
from controlplane.control import ledger
from controlplane.errors import PlaneError
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified
from controlplane.workspace.project import Project

_SUFFIXES = (".parquet", ".csv", ".json", ".ndjson", ".jsonl")


@dataclass(frozen=True)
class Loaded:
    """A table that was loaded: its name, its number of rows, and its columns with their types."""

    table: str
    row_count: int
    columns: Mapping[str, str]


def load(project: Project, file: str | Path, table: str, *, replace: bool = False) -> Loaded:
    """See `ControlPlane.load`."""
    d = dialect(project.environment.dialect)
    # Checked before the warehouse is opened: a connection may take seconds.
    parts, path = _parts(project, table), Path(file)
    if path.suffix.lower() not in _SUFFIXES:
        text = f"{path}: the end of its name is no known format"
        raise PlaneError(text, hint=f"load a file that ends in {', '.join(_SUFFIXES)}")
    rows = d.file_rows(str(path.resolve()))
    if not rows:
        kind = project.environment.warehouse_kind
        raise PlaneError(
            f"only the embedded warehouse can read files of this machine, and this is {kind}",
            hint=(
                "load the file with the warehouse's own tools, such as PUT and COPY INTO of"
                " Snowflake, or a volume and COPY INTO of Databricks"
            ),
        )
    if not path.is_file():
        raise PlaneError(f"there is no file {path}", hint="check the path")
    quoted = qualified(d, *parts)
    if not replace and _exists(project, *parts):
        raise PlaneError(
            f"there is a table {table} already",
            hint="choose another name, or replace its rows with --replace",
        )
    schema = Statement("create the schema", f"CREATE SCHEMA IF NOT EXISTS {d.quote(parts[0])}")
    made = Statement(f"load {path}", f"CREATE OR REPLACE TABLE {quoted} AS SELECT * FROM {rows}")
    _, count = project.warehouse.execute([schema, made], tag="load", atomic=True)
    columns = project.warehouse.columns([quoted])[quoted] or {}
    return Loaded(table, count, dict(columns))


def _exists(project: Project, schema: str, name: str) -> bool:
    # Not `Warehouse.columns`: DuckDB takes the name of a missing table `raw.json` for a file.
    d = dialect(project.environment.dialect)
    listed = (
        "SELECT 1 AS listed FROM information_schema.tables WHERE lower(table_schema) ="
        f" {d.text(schema.lower())} AND lower(table_name) = {d.text(name.lower())}"
    )
    return bool(ledger.rows(project.warehouse, listed))


def _parts(project: Project, table: str) -> tuple[str, str]:
    """Split `schema.table`.

    Raises:
        PlaneError: it is no such name, or the schema holds tables that controlplane writes.
    """
    match table_parts(table):
        case (schema, name):
            if schema in (naming.CONTROL_SCHEMA, naming.DATASETS, project.environment.schema):
                text = f"the schema {schema!r} is for tables that controlplane writes"
                raise PlaneError(text, hint="choose another schema, such as raw")
            return schema, name
        case _:
            raise PlaneError(
                f"{table!r} is not the name of a table in a schema", hint="write raw.payments"
            )
