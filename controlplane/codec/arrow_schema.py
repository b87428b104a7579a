"""Columns as an Arrow schema: its text, and an IPC file that holds it and no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from controlplane.codec.arrow import arrow_type
from controlplane.codec.column import Column


def schema(columns: Sequence[Column], metadata: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of these columns."""
    fields = [
        pa.field(one.name, arrow_type(one.type), one.nullable, dict(one.metadata))
        for one in columns
    ]
    return pa.schema(fields, metadata=dict(metadata))


def text(columns: Sequence[Column], metadata: Mapping[str, str]) -> str:
    """The schema as people read it: a line for each column, and for each thing that is said of
    it."""
    return (
        str(schema(columns, metadata).to_string(show_field_metadata=True, truncate_metadata=False))
        + "\n"
    )


def file(columns: Sequence[Column], metadata: Mapping[str, str]) -> bytes:
    """The IPC file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema(columns, metadata)):
        pass
    return bytes(sink.getvalue().to_pybytes())
