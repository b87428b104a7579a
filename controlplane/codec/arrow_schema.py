"""Columns as an Arrow schema: its text, and an IPC file that holds it and no rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class Column(NamedTuple):
    """A column: its name, its canonical type, whether it may be null, and what else is said of
    it."""

    name: str
    type: str
    nullable: bool
    metadata: Mapping[str, str] = {}


def schema(columns: Sequence[Column], metadata: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of these columns."""
    # lazy: most of what is made from a contract needs no Arrow
    import pyarrow as pa

    # lazy: it imports Arrow
    from controlplane.codec.arrow import arrow_type

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
    # lazy: as above
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema(columns, metadata)):
        pass
    return bytes(sink.getvalue().to_pybytes())
