"""Rows as Snowflake sends them: Arrow columns that carry its types in their metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Column = dict[str, Any]
_SHORT = 18
"""Digits of a number that fits into 64 bits: such a one is sent as an integer and its scale."""


def encoded(
    table: pa.Table, columns: Sequence[Column], *, arrays_as_text: bool = False
) -> pa.Table:
    """DuckDB's rows in the form for the wire."""
    arrays, fields = [], []
    for array, column in zip(table.columns, columns, strict=True):
        if column["type"] == "array" and (arrays_as_text or "fields" not in column):
            sent, metadata = _as_text(array), {"logicalType": "ARRAY"}
        else:
            sent, metadata = _sent(array, column), _metadata(column)
        arrays.append(sent)
        fields.append(pa.field(column["name"], sent.type, metadata=metadata))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def stream(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _metadata(column: Column) -> dict[str, str]:
    numbers = {
        name: str(column[name]) for name in ("precision", "scale") if column[name] is not None
    }
    if column["length"] is not None:
        numbers |= {"charLength": str(column["length"]), "byteLength": str(column["byteLength"])}
    return {"logicalType": column["type"].upper(), "finalType": "T", **numbers}


def _sent(array: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    kind = column["type"]
    if kind == "fixed":
        return _number(array, column)
    if kind.startswith("timestamp"):
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    if kind == "array":
        [item] = column["fields"]
        chunks = [_list(chunk, item) for chunk in array.chunks] or [
            _list(pa.array([], array.type), item)
        ]
        return pa.chunked_array(chunks)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _number(array: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    precision, scale = column["precision"], column["scale"]
    if scale == 0:
        try:
            return array.cast(pa.int64())
        except pa.ArrowInvalid:
            return array.cast(pa.decimal128(38, 0))
    if precision > _SHORT:
        return array
    tens = pa.scalar(Decimal(10**scale), pa.decimal128(scale + 1, 0))
    return pc.multiply(array, tens).cast(pa.int64())


def _list(array: pa.ListArray, item: Column) -> pa.ListArray:
    values = _sent(pa.chunked_array([array.values]), item).combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    field = pa.field("item", values.type, metadata=_metadata(item))
    return pa.ListArray.from_arrays(
        array.offsets, values, type=pa.list_(field), mask=array.is_null()
    )


def _as_text(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists as the text that an account without typed results sends."""
    texts = [
        None if row is None else f"[\n  {joined}\n]" if (joined := _items(row)) else "[]"
        for row in array.to_pylist()
    ]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _items(row: Sequence[object]) -> str:
    return ",\n  ".join(_item(value) for value in row)


def _item(value: object) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "inf", "-inf": "-inf"}.get(repr(value), repr(value))
    if isinstance(value, list):
        return f"[{_items(value)}]"
    if isinstance(value, int | Decimal):
        return str(value)
    return json.dumps(value.hex() if isinstance(value, bytes) else str(value))
