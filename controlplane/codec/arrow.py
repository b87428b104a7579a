"""The Arrow type that stands for each canonical one, wherever rows pass."""

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
        {name: pa.array(values, arrow_type(kind)) for name, (values, kind) in columns.items()}
    )


def arrow_type(kind: str) -> pa.DataType | None:
    """The Arrow type of a canonical type; None of a text that is none."""
    if is_list(kind):
        return pa.list_(arrow_type(item_type(kind)))
    if is_decimal(kind):
        return pa.decimal128(decimal_precision(kind), decimal_scale(kind))
    return _PLAIN.get(kind)
