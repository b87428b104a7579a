"""Load a file into a table of the embedded warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.base import naming
from controlplane.base.ports import Statement
from controlplane.codec import csv_header
from controlplane.compile.transformation import table_parts
from controlplane.control import ledger
from controlplane.errors import PermanentError, PlaneError
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified
from controlplane.workspace.project import Project

_SUFFIXES = (".parquet", ".csv", ".json", ".ndjson", ".jsonl")

_FORMS = {
    ".csv": (
        "each row of a CSV file must have as many fields as its first line, separated in the same"
        " way, and values of its columns' types"
    )
}


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
        text = f"unknown file format {path.suffix!r}: {path}"
        raise PlaneError(text, hint=f"load a file that ends in {', '.join(_SUFFIXES)}")
    if not d.file_rows(str(path)):
        kind = project.environment.warehouse_kind
        raise PlaneError(
            f"only the embedded warehouse can read files of this machine, and this is {kind}",
            hint=(
                "load the file with the warehouse's own tools, such as PUT and COPY INTO of"
                " Snowflake, or a volume and COPY INTO of Databricks"
            ),
        )
    rows = d.file_rows(str(path.resolve()), _delimiter(path))
    quoted = qualified(d, *parts)
    if not replace and _exists(project, *parts):
        raise PlaneError(
            f"table {table} already exists",
            hint="choose another name, or replace its rows with --replace",
        )
    schema = Statement("create the schema", f"CREATE SCHEMA IF NOT EXISTS {d.quote(parts[0])}")
    made = Statement(f"load {path}", f"CREATE OR REPLACE TABLE {quoted} AS SELECT * FROM {rows}")
    try:
        _, count = project.warehouse.execute([schema, made], tag="load", atomic=True)
    except PermanentError as error:
        hint = _FORMS.get(path.suffix.lower(), error.hint)
        raise PermanentError(error.message, hint=hint) from None
    columns = project.warehouse.columns([quoted])[quoted] or {}
    return Loaded(table, count, dict(columns))


def _delimiter(path: Path) -> str:
    """Check the file; return the delimiter of a CSV file.

    Raises:
        PlaneError: it is no file, or is empty; or as for `csv_header.delimiter`.
    """
    if not path.is_file():
        text = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise PlaneError(text, hint="pass the path of a file")
    if not path.stat().st_size:
        raise PlaneError(f"{path} is empty", hint="load a file with rows, or with a header")
    return csv_header.delimiter(path) if path.suffix.lower() == ".csv" else ""


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
            # DuckDB ignores the case of names, also of quoted ones.
            written = (naming.CONTROL_SCHEMA, naming.DATASETS, project.environment.schema)
            if schema.lower() in map(str.lower, written):
                text = f"the schema {schema!r} is for tables that controlplane writes"
                raise PlaneError(text, hint="choose another schema, such as raw")
            return schema, name
        case _:
            raise PlaneError(
                f"{table!r} is not the name of a table in a schema", hint="write raw.payments"
            )
