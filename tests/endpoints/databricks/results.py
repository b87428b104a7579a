"""Rows as the protocol carries them: Arrow batches, files behind links, columns, and the schema
beside them."""

from __future__ import annotations

import json

import lz4.frame
import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes
from pyspark.sql import types as spark_types

_NAMES = {
    "integer": "INT",
    "byte": "TINYINT",
    "short": "SMALLINT",
    "long": "BIGINT",
    "void": "NULL",
}


def thrift_schema(schema: spark_types.StructType) -> ttypes.TTableSchema:
    """The columns' names and types; what the protocol has no name for is called a string."""
    return ttypes.TTableSchema(
        columns=[
            ttypes.TColumnDesc(
                columnName=column.name,
                position=position,
                typeDesc=ttypes.TTypeDesc(
                    [ttypes.TTypeEntry(primitiveEntry=_entry(column.dataType))]
                ),
            )
            for position, column in enumerate(schema.fields, 1)
        ]
    )


def _entry(kind: spark_types.DataType) -> ttypes.TPrimitiveTypeEntry:
    qualifiers = None
    if isinstance(kind, spark_types.DecimalType):
        sizes = {"precision": kind.precision, "scale": kind.scale}
        values = {name: ttypes.TTypeQualifierValue(i32Value=size) for name, size in sizes.items()}
        qualifiers = ttypes.TTypeQualifiers(values)
    name = kind.typeName().split("(")[0].split(" ")[0]
    name = "timestamp" if name == "timestamp_ntz" else name
    type_id = getattr(
        ttypes.TTypeId, f"{_NAMES.get(name, name.upper())}_TYPE", ttypes.TTypeId.STRING_TYPE
    )
    return ttypes.TPrimitiveTypeEntry(type=type_id, typeQualifiers=qualifiers)


def arrow_batches(rows: pa.Table, compressed: bool) -> list[ttypes.TSparkArrowBatch]:
    """Rows in one answer."""
    batches = []
    for batch in rows.to_batches():
        raw = batch.serialize().to_pybytes()
        data = lz4.frame.compress(raw) if compressed else raw
        batches.append(ttypes.TSparkArrowBatch(batch=data, rowCount=batch.num_rows))
    return batches


def arrow_file(rows: pa.Table, compressed: bool) -> bytes:
    """Rows in a file behind a link."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    raw: bytes = sink.getvalue().to_pybytes()
    packed: bytes = lz4.frame.compress(raw)
    return packed if compressed else raw


def columns(rows: pa.Table) -> list[ttypes.TColumn]:
    """Rows for a client that can't read Arrow."""
    return [_column(column) for column in rows.itercolumns()]


_PLAIN = (
    (pa.types.is_boolean, "boolVal", ttypes.TBoolColumn, False),
    (pa.types.is_int8, "byteVal", ttypes.TByteColumn, 0),
    (pa.types.is_int16, "i16Val", ttypes.TI16Column, 0),
    (pa.types.is_int32, "i32Val", ttypes.TI32Column, 0),
    (pa.types.is_int64, "i64Val", ttypes.TI64Column, 0),
    (pa.types.is_floating, "doubleVal", ttypes.TDoubleColumn, 0.0),
    (pa.types.is_binary, "binaryVal", ttypes.TBinaryColumn, b""),
)


def _column(column: pa.ChunkedArray) -> ttypes.TColumn:
    values = column.to_pylist()
    nulls = bytearray((len(values) + 7) // 8)
    for position, value in enumerate(values):
        if value is None:
            nulls[position >> 3] |= 1 << (position & 7)
    for fits, name, kind, nothing in _PLAIN:
        if fits(column.type):
            filled = [nothing if value is None else value for value in values]
            return ttypes.TColumn(**{name: kind(values=filled, nulls=bytes(nulls))})
    texts = ["" if value is None else as_text(value) for value in values]
    return ttypes.TColumn(stringVal=ttypes.TStringColumn(values=texts, nulls=bytes(nulls)))


def as_text(value: object) -> str:
    """A value where the protocol wants text."""
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    return str(value)
