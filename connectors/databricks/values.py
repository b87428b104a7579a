"""Translates Databricks' types to those of `base.types`, and casts its rows to them."""

from __future__ import annotations

import pyarrow as pa
from databricks.sql.client import Cursor
from databricks.sql.utils import ArrowQueue, ThriftCloudFetchQueue

from controlplane.base.types import is_list, item_type, parse_type
from controlplane.errors import TransientError

_CANONICAL = {
    "boolean": "bool",
    "tinyint": "int64",
    "smallint": "int64",
    "int": "int64",
    "bigint": "int64",
    "float": "float64",
    "double": "float64",
    "string": "string",
    "binary": "binary",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
}


def canonical_type(name: str) -> str:
    """Return the name in `base.types` of a Databricks type; types without one stay unchanged."""
    if is_list(name):
        item = canonical_type(item_type(name))
        return f"array<{item}>" if _is_canonical(item) else name
    if name.startswith(("varchar(", "char(")):
        return "string"
    return _CANONICAL.get(name, name)


def _is_canonical(name: str) -> bool:
    try:
        return parse_type(name) == name
    except ValueError:
        return False


def canonical_rows(table: pa.Table) -> pa.Table:
    """Return the same rows in the Arrow types of the canonical types; others stay unchanged."""
    fields = [pa.field(field.name, _canonical_arrow(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _canonical_arrow(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(arrow_type):
        return pa.int64()
    if pa.types.is_floating(arrow_type):
        return pa.float64()
    if pa.types.is_timestamp(arrow_type):
        return pa.timestamp("us")
    if pa.types.is_list(arrow_type):
        return pa.list_(_canonical_arrow(arrow_type.value_type))
    return arrow_type


def check_last_part(cursor: Cursor) -> None:
    """Check that the last part of a result is complete; the driver checks only the others.

    Raises:
        TransientError: rows are missing.
    """
    result = cursor.active_result_set
    if result is None:
        return
    part = result.results
    if isinstance(part, ThriftCloudFetchQueue) and part.result_links:
        last = part.result_links[-1]
        whole = result.rownumber == last.startRowOffset + last.rowCount
    else:
        whole = not isinstance(part, ArrowQueue) or part.arrow_table.num_rows >= part.n_valid_rows
    if not whole:
        raise TransientError("reading: rows of the result were lost on the way", hint="try again")
