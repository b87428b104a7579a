"""DataFrames as tables of the warehouse, for as long as a training set is made of them."""

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
from controlplane.codec import frames
from controlplane.errors import PlaneError
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified

MOST_ROWS = 100_000
"""Rows that are sent to a warehouse that is not on this machine: each is a part of a statement's
text."""
_ROWS_A_STATEMENT = 1000


@contextmanager
def uploaded(warehouse: Warehouse, frame: Any, tag: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - of any library
    """A query for the rows of a DataFrame, and what is noted of them: how many they are, and a
    digest.

    The rows lie in a table of the schema of training sets, which is dropped in the end.

    Raises:
        PlaneError: the DataFrame has a column of another type than ours, or too many rows for a
            distant warehouse.
    """
    rows, d = frames.as_table(frame), dialect(warehouse.dialect)
    distant = d.name != "duckdb"
    if distant and rows.num_rows > MOST_ROWS:
        hint = "load them into a table with the warehouse's own tools, and give its name"
        raise PlaneError(
            f"a DataFrame of {rows.num_rows:,} rows is too long: at most {MOST_ROWS:,}", hint=hint
        )
    name = qualified(d, naming.DATASETS, naming.spine(secrets.token_hex(6)))
    made = Statement(
        "create the schema of datasets", f"CREATE SCHEMA IF NOT EXISTS {d.quote(naming.DATASETS)}"
    )
    try:
        warehouse.execute([made], tag=tag)
        if distant:
            warehouse.execute(list(_inserts(name, rows, d)), tag=tag)
        else:
            _from_file(warehouse, name, rows, d)
        digest = hashlib.sha256(repr(rows.to_pydict()).encode()).hexdigest()[:16]
        yield f"SELECT * FROM {name}", f"DataFrame of {rows.num_rows} rows, sha256 {digest}"
    finally:
        warehouse.execute(
            [Statement("drop the DataFrame's rows", f"DROP TABLE IF EXISTS {name}")], tag=tag
        )


def _from_file(warehouse: Warehouse, name: str, rows: Any, d: Dialect) -> None:  # noqa: ANN401 - a table of Arrow
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        frames.write_file(rows, file)
        query = f"CREATE TABLE {name} AS SELECT * FROM read_parquet({d.text(str(file))})"
        warehouse.execute([Statement("load the DataFrame", query)])


def _inserts(name: str, rows: Any, d: Dialect) -> Iterator[Statement]:  # noqa: ANN401 - a table of Arrow
    kinds = frames.types_of(rows)
    for column, kind in kinds.items():
        if is_list(kind):
            hint = "leave it out, or load the rows into a table with the warehouse's own tools"
            raise PlaneError(
                f"the DataFrame's column {column!r} holds lists, which are not sent", hint=hint
            )
    columns = ", ".join(f"{d.quote(column)} {d.type(kind)}" for column, kind in kinds.items())
    yield Statement("make room for the DataFrame", f"CREATE {d.passing}TABLE {name} ({columns})")
    for some in frames.values_of(rows, _ROWS_A_STATEMENT):
        literals = (
            [_literal(value, kind, d) for value, kind in zip(row, kinds.values(), strict=True)]
            for row in some
        )
        lines = ",\n".join(f"({', '.join(values)})" for values in literals)
        yield Statement("load the DataFrame", f"INSERT INTO {name} VALUES\n{lines}")


def _literal(value: Any, kind: str, d: Dialect) -> str:  # noqa: ANN401 - of any type
    return d.cast("NULL", kind) if value is None else d.literal(value, kind)
