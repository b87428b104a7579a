"""Arrow batches as records of the online store: the one way that a warehouse's rows get there."""

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
"""How long a tombstone stays: longer than any writer may lag behind."""
RECORDS = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("value", pa.binary(), nullable=False),
        pa.field("expires_ms", pa.int64()),
    ]
)
"""What an online store writes; see `ports.OnlineStore`."""
_ROWS, _BYTES = 16_384, 8 << 20  # what is encoded at once, of what the warehouse sent
_MILLISECOND = timedelta(milliseconds=1)

_YEARS = {  # what a reader's own types can hold, as days and microseconds since the epoch
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
    """One record for each row, in order, in batches of `RECORDS` that are small whatever came.

    Args:
        batch: the key columns, `valid_from` and `expires_at` (timestamps), `is_deleted` (bool) and
            a column for each feature, found by name.
        layout: of the view.
        prefix: of the view's version, see `naming.online_prefix`.
        write_version: orders this write among all writes of the same keys.
        expiry_shift: added to `expires_at`; not zero where the environment's clock stands still.
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
    """The key of each row, as bytes; see `encode_batch`.

    Raises:
        PlaneError: a key is null, or a column is absent or does not fit its type.
    """
    parts: list[Part] = []
    for name, kind in layout.keys:
        column = _column(batch, name, kind)
        if column.null_count:
            key_text(name, kind)(None)  # raises what a reader's null would
        parts += [b":", escaped(spelled(column, kind))]
    return joined(prefix + b"{", *parts[1:], b"}")


def _expiry(expires: pa.Array, shift_us: int) -> pa.Array:
    # Rounded up: an expiry within a millisecond is enforced by readers, a value lost early by
    # nobody.
    milliseconds = -(-(whole(expires) + shift_us) // 1000)
    return pa.array(
        milliseconds,
        mask=expires.is_null().to_numpy(zero_copy_only=False) if expires.null_count else None,
    )


def _column(batch: pa.RecordBatch, name: str, kind: str) -> pa.Array:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise PermanentError(f"the rows to write online have no one column {name!r}")
    column = batch.column(index)
    try:
        typed = column.cast(arrow_type(kind))
        if "string" in kind:
            typed.validate(full=True)  # of bytes that are no UTF-8, no reader makes text
    except pa.ArrowException as error:
        raise PermanentError(
            f"column {name!r} ({column.type}) can't be written online as {kind}: {error}"
        ) from None
    _check_years(typed, name, kind)
    return typed


def _check_years(column: pa.Array, name: str, kind: str) -> None:
    while is_list(kind):
        column, kind = column.flatten(), item_type(kind)
    if kind not in _YEARS:
        return
    numbers = whole(column)
    first, last = _YEARS[kind]
    if len(numbers) and (numbers.min() < first or numbers.max() > last):
        raise PermanentError(
            f"column {name!r} holds a {kind} outside the years 1 to 9999, which can't be read"
            " online",
            hint="write null for infinite and unknown times",
        )
