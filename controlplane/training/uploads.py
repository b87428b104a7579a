"""Makes DataFrames and files readable in the warehouse while a training set is created from
them."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.base import naming
from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import is_list
from controlplane.codec import csv_header, frames
from controlplane.errors import PlaneError
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified

MOST_ROWS = 100_000
"""The rows that are sent to a remote warehouse, as the text of statements."""
FILES = (".parquet", ".csv")
"""The ends of names of files that can be a spine."""
# Warehouses limit a statement's text (1 MB on Snowflake) and its number of values.
_ROWS_A_STATEMENT = 1000


@contextmanager
def uploaded(
    warehouse: Warehouse,
    frame: Any,  # noqa: ANN401 - of any library
    tag: str,
) -> Iterator[tuple[str, str]]:
    """Load a DataFrame; yield a query for its rows, and a note with their number and digest.

    The rows are in a table of the schema of training sets, which is dropped at the end.

    Raises:
        PlaneError: the DataFrame has a column of an unsupported type, or too many rows for a
            remote warehouse.
    """
    rows, d = frames.as_table(frame), dialect(warehouse.dialect)
    remote = d.name != "duckdb"
    if remote and rows.num_rows > MOST_ROWS:
        hint = "load them into a table with the warehouse's own tools, and give its name"
        raise PlaneError(
            f"a DataFrame of {rows.num_rows:,} rows is too long: at most {MOST_ROWS:,}", hint=hint
        )
    # A random name: several training sets may be created at the same time.
    name = qualified(d, naming.DATASETS, naming.spine(secrets.token_hex(6)))
    made = Statement(
        "create the schema of datasets", f"CREATE SCHEMA IF NOT EXISTS {d.quote(naming.DATASETS)}"
    )
    try:
        warehouse.execute([made], tag=tag)
        if remote:
            warehouse.execute(list(_inserts(name, rows, d)), tag=tag)
        else:
            _from_file(warehouse, name, rows, d)
        # The spine's query names a table that is dropped, so the digest is its only trace.
        digest = hashlib.sha256(repr(rows.to_pydict()).encode()).hexdigest()[:16]
        yield f"SELECT * FROM {name}", f"DataFrame of {rows.num_rows} rows, sha256 {digest}"
    finally:
        warehouse.execute(
            [Statement("drop the DataFrame's rows", f"DROP TABLE IF EXISTS {name}")], tag=tag
        )


@contextmanager
def of_file(warehouse: Warehouse, path: Path, tag: str) -> Iterator[tuple[str, str]]:
    """Make a Parquet or CSV file readable; yield a query for its rows, and a note with its digest.

    The embedded warehouse reads the file itself. To another one, the rows are sent as those of a
    DataFrame.

    Raises:
        PlaneError: the file can't be read; or as for `uploaded`.
    """
    if path.suffix.lower() not in FILES:
        hint = f"give a file that ends in {' or '.join(FILES)}"
        raise PlaneError(f"unknown file format {path.suffix!r}: {path}", hint=hint)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        hint = "pass the path of a readable file, a table, or a query"
        raise PlaneError(f"{path} can't be read: {error.strerror}", hint=hint) from None
    noted = f"file {path.name}, sha256 {digest}"
    delimiter = csv_header.delimiter(path) if path.suffix.lower() == ".csv" else ""
    if rows := dialect(warehouse.dialect).file_rows(str(path.resolve()), delimiter):
        yield f"SELECT * FROM {rows}", noted
        return
    with uploaded(warehouse, frames.read_file(path, delimiter), tag) as (query, _):
        yield query, noted


def _from_file(
    warehouse: Warehouse,
    name: str,
    rows: Any,  # noqa: ANN401 - a table of Arrow
    d: Dialect,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        frames.write_file(rows, file)
        query = f"CREATE TABLE {name} AS SELECT * FROM read_parquet({d.text(str(file))})"
        warehouse.execute([Statement("load the DataFrame", query)])


def _inserts(
    name: str,
    rows: Any,  # noqa: ANN401 - a table of Arrow
    d: Dialect,
) -> Iterator[Statement]:
    types = frames.types_of(rows)
    for column, column_type in types.items():
        if is_list(column_type):
            hint = "leave it out, or load the rows into a table with the warehouse's own tools"
            raise PlaneError(
                f"the DataFrame's column {column!r} holds lists, which can't be loaded", hint=hint
            )
    columns = ", ".join(
        f"{d.quote(column)} {d.type(column_type)}" for column, column_type in types.items()
    )
    yield Statement("make room for the DataFrame", f"CREATE {d.transient}TABLE {name} ({columns})")
    for chunk in frames.values_of(rows, _ROWS_A_STATEMENT):
        literals = (
            [
                _literal(value, column_type, d)
                for value, column_type in zip(row, types.values(), strict=True)
            ]
            for row in chunk
        )
        lines = ",\n".join(f"({', '.join(values)})" for values in literals)
        yield Statement("load the DataFrame", f"INSERT INTO {name} VALUES\n{lines}")


def _literal(value: Any, value_type: str, d: Dialect) -> str:  # noqa: ANN401 - of any type
    return d.cast("NULL", value_type) if value is None else d.literal(value, value_type)
