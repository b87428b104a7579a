"""The two ways to write records: their commands, packed for a whole batch at a time by Arrow.

Arrow joins the bytes of all rows at once, without a Python object for any of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SCRIPT = Path(__file__).with_name("writer.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest().encode()
# What precedes a text in a command, by the text's length: taking it is cheaper than formatting it.
_LENGTHS = pa.array([b"\r\n$%d\r\n" % length for length in range(2048)], pa.binary())


class Mode(NamedTuple):
    """How records are written.

    Args:
        commands: packs the commands of a batch. Its arguments: the records, how many of them each
            command holds, and the bytes that precede each command.
        stored: returns how many records a command stored, by its reply; None if it failed.
        together: how many records one command may hold.
        script: the script that the commands run, if any.
    """

    commands: Callable[[pa.RecordBatch, int, bytes], memoryview]
    stored: Callable[[bytes], int | None]
    together: int
    script: str | None


def _compare(records: pa.RecordBatch, together: int, before: bytes) -> memoryview:
    expires = _texts(records.column("expires_ms")).fill_null(b"")
    keys = _grouped(_binary(*_argument(records.column("key"))), together)
    values = _grouped(_binary(*_argument(records.column("value")), *_argument(expires)), together)
    head, last = (
        before
        + b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$%d\r\n%d" % (3 * n + 3, _SHA, len(str(n)), n)
        for n in (together, len(records) - together * (len(keys) - 1))
    )
    return _joined(pa.array([head] * (len(keys) - 1) + [last], pa.binary()), keys, values)


def _replace(records: pa.RecordBatch, _: int, before: bytes) -> memoryview:
    # Redis takes no expiry before 1970; any that has passed deletes the key.
    expires = _texts(pc.max_element_wise(records.column("expires_ms"), 1, skip_nulls=False))
    head, expiry = before + b"*5\r\n$3\r\nSET", [b"\r\n$4\r\nPXAT", *_argument(expires)]
    if expires.null_count:
        head = pc.if_else(expires.is_valid(), head, before + b"*3\r\n$3\r\nSET")
        expiry = [_binary(*expiry).fill_null(b"")]
    return _joined(
        head, *_argument(records.column("key")), *_argument(records.column("value")), *expiry
    )


COMPARE = Mode(_compare, lambda reply: int(reply[1:]) if reply[:1] == b":" else None, 100, _SCRIPT)
"""Keep a record out where its key holds a newer write version: `writer.lua`."""
REPLACE = Mode(_replace, lambda reply: 1 if reply == b"+OK" else None, 1, None)
"""Let the last write win: for a store that one run at a time writes to."""


def _grouped(rows: pa.Array, together: int) -> pa.Array:
    """Join the bytes of every `together` rows, without a copy.

    The rows of an Arrow array lie one after the other, so it is enough to leave offsets out.
    """
    offsets = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1]
    bounds = np.append(offsets[:-1:together], offsets[-1])
    return pa.Array.from_buffers(
        pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), rows.buffers()[2]]
    )


def _binary(*parts: bytes | pa.Array) -> pa.Array:
    """Join the parts of each row; bytes are the same in all rows.

    Constants next to each other are joined once first, so that Arrow has fewer parts to join.
    """
    arrays: list[pa.Array | pa.Scalar] = []
    for constant, members in groupby(parts, lambda part: isinstance(part, bytes)):
        group = list(members)
        arrays += [pa.scalar(b"".join(group), pa.binary())] if constant else group
    return pc.binary_join_element_wise(*arrays, b"")


def _joined(*parts: bytes | pa.Array) -> memoryview:
    """Return the commands of all rows, one after the other: the bytes of Arrow's own buffer."""
    return memoryview(_binary(*parts, b"\r\n").buffers()[2])


def _texts(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.binary())


def _argument(texts: pa.Array) -> tuple[bytes | pa.Array, pa.Array]:
    """Return the bytes that precede each text in a command (its length), and the texts.

    The line end after a text belongs to the bytes that follow it.
    """
    lengths = pc.binary_length(texts)
    shortest, longest = (bound.as_py() for bound in pc.min_max(lengths).values())
    if shortest == longest is not None and not texts.null_count:
        return b"\r\n$%d\r\n" % longest, texts
    if longest is None or longest < len(_LENGTHS):
        return _LENGTHS.take(lengths), texts
    return _binary(b"\r\n$", _texts(lengths), b"\r\n"), texts
