"""Write columns as an Arrow schema: as text, and as an IPC file without rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from controlplane.codec.arrow import arrow_type
from controlplane.codec.column import Column


def schema(columns: Sequence[Column], metadata: Mapping[str, str]) -> pa.Schema:
    """Return the Arrow schema of these columns."""
    fields = [
        pa.field(column.name, arrow_type(column.type), column.nullable, dict(column.metadata))
        for column in columns
    ]
    return pa.schema(fields, metadata=dict(metadata))


def text(columns: Sequence[Column], metadata: Mapping[str, str]) -> str:
    """Write the schema for people: a line for each column and for each entry of its metadata."""
    return (
        str(schema(columns, metadata).to_string(show_field_metadata=True, truncate_metadata=False))
        + "\n"
    )


def file(columns: Sequence[Column], metadata: Mapping[str, str]) -> bytes:
    """Write the IPC file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema(columns, metadata)):
        pass
    return bytes(sink.getvalue().to_pybytes())
