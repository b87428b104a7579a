"""The Arrow type of each canonical type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from controlplane.base.types import decimal_precision, decimal_scale, is_decimal, is_list, item_type

_PLAIN = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def table(columns: Mapping[str, tuple[Sequence[Any], str]]) -> pa.Table:
    """Return a table of these columns: name -> values and their canonical type."""
    return pa.table(
        {
            name: pa.array(values, arrow_type(value_type))
            for name, (values, value_type) in columns.items()
        }
    )


def arrow_type(value_type: str) -> pa.DataType | None:
    """Return the Arrow type of a canonical type; None for any other text."""
    if is_list(value_type):
        return pa.list_(arrow_type(item_type(value_type)))
    if is_decimal(value_type):
        return pa.decimal128(decimal_precision(value_type), decimal_scale(value_type))
    return _PLAIN.get(value_type)
