"""Encode Arrow batches of a warehouse as records of the online store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.types import EPOCH, MICROSECOND, is_list, item_type
from controlplane.codec.arrow import arrow_type
from controlplane.codec.columns import Part, escaped, joined, packed, spelled, stamps, whole
from controlplane.codec.keys import key_text
from controlplane.codec.layout import Layout
from controlplane.codec.values import value_head
from controlplane.errors import PermanentError

TOMBSTONE = timedelta(days=7)
"""How long a tombstone is kept: longer than any writer may lag behind."""
RECORDS = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("value", pa.binary(), nullable=False),
        pa.field("expires_ms", pa.int64()),
    ]
)
"""The records that an online store writes; see `ports.OnlineStore`."""
_ROWS, _BYTES = (
    16_384,
    8 << 20,
)  # encoded at once: bounds memory, whatever batches the warehouse sends
_MILLISECOND = timedelta(milliseconds=1)

_YEARS = {  # the range of a reader's Python types, in days and microseconds since the epoch
    "date": (-719_162, 2_932_896),
    "timestamp": (-62_135_596_800_000_000, 253_402_300_799_999_999),
}


def encode_batch(
    batch: pa.RecordBatch,
    layout: Layout,
    prefix: bytes,
    *,
    write_version: int,
    expiry_shift: timedelta,
    now: datetime,
) -> Iterator[pa.RecordBatch]:
    """Encode each row as one record, in order, in small batches of `RECORDS`.

    Args:
        batch: the key columns, `valid_from` and `expires_at` (timestamps), `is_deleted` (bool) and
            a column for each feature, found by name.
        layout: of the view.
        prefix: of the view's version, see `naming.online_prefix`.
        write_version: orders this write among all writes of the same keys.
        expiry_shift: added to `expires_at`; not zero if the environment's time is frozen.
        now: the wall clock; deleted rows become tombstones that expire `TOMBSTONE` later.

    Raises:
        PlaneError: a key is null, or a column is absent or does not fit its type.
    """
    rows = max(1, min(_ROWS, batch.num_rows * _BYTES // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, rows):
        piece = batch.slice(start, rows)
        effective, deleted = (
            _column(piece, "valid_from", "timestamp"),
            _column(piece, "is_deleted", "bool"),
        )
        if effective.null_count:
            raise PermanentError("a row to write online has no valid_from")
        since = stamps(whole(effective))
        features = [
            part for f in layout.fields for part in packed(_column(piece, f.name, f.type), f.type)
        ]
        values = joined(value_head(len(layout.fields), write_version), since, *features)
        expires = _expiry(_column(piece, "expires_at", "timestamp"), expiry_shift // MICROSECOND)
        if pc.any(deleted).as_py():
            gone = deleted.fill_null(False)
            values = pc.if_else(gone, joined(value_head(0, write_version), since), values)
            expires = pc.if_else(gone, (now + TOMBSTONE - EPOCH) // _MILLISECOND, expires)
        yield pa.RecordBatch.from_arrays(
            [row_keys(piece, layout, prefix), values, expires], schema=RECORDS
        )


def row_keys(batch: pa.RecordBatch, layout: Layout, prefix: bytes) -> pa.Array:
    """Return the key of each row, as bytes; see `encode_batch`.

    Raises:
        PlaneError: a key is null, or a column is absent or does not fit its type.
    """
    parts: list[Part] = []
    for name, value_type in layout.keys:
        column = _column(batch, name, value_type)
        if column.null_count:
            key_text(name, value_type)(None)  # raises the error that a reader gets for null
        parts += [b":", escaped(spelled(column, value_type))]
    return joined(prefix + b"{", *parts[1:], b"}")


def _expiry(expires: pa.Array, shift_us: int) -> pa.Array:
    # Rounded up: readers check the exact expiry themselves, but could not bring back a value that
    # the store removed too early.
    milliseconds = -(-(whole(expires) + shift_us) // 1000)
    return pa.array(
        milliseconds,
        mask=expires.is_null().to_numpy(zero_copy_only=False) if expires.null_count else None,
    )


def _column(batch: pa.RecordBatch, name: str, value_type: str) -> pa.Array:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise PermanentError(f"the rows to write online must have exactly one column {name!r}")
    column = batch.column(index)
    try:
        typed = column.cast(arrow_type(value_type))
        if "string" in value_type:
            typed.validate(full=True)  # invalid UTF-8 would fail in every reader
    except pa.ArrowException as error:
        raise PermanentError(
            f"column {name!r} ({column.type}) can't be written online as {value_type}: {error}"
        ) from None
    _check_years(typed, name, value_type)
    return typed


def _check_years(column: pa.Array, name: str, value_type: str) -> None:
    while is_list(value_type):
        column, value_type = column.flatten(), item_type(value_type)
    if value_type not in _YEARS:
        return
    numbers = whole(column)
    first, last = _YEARS[value_type]
    if len(numbers) and (numbers.min() < first or numbers.max() > last):
        raise PermanentError(
            f"column {name!r} holds a {value_type} outside the years 1 to 9999, which can't be read"
            " online",
            hint="write null for infinite and unknown times",
        )
