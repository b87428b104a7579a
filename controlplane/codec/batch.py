"""Arrow batches as records of the online store: the one way that a warehouse's rows get there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.codec.arrow import arrow_type
from controlplane.codec.keys import key_text, row_key
from controlplane.codec.layout import Layout
from controlplane.codec.values import features, stamp, value_head
from controlplane.errors import PermanentError
from controlplane.ports import Record
from controlplane.types import EPOCH, MICROSECOND, is_decimal

TOMBSTONE = timedelta(days=7)
"""How long a tombstone stays: longer than any writer may lag behind."""
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
) -> list[Record]:
    """One record for each row.

    Args:
        batch: the key columns, `valid_from` and `expires_at` (timestamps), `is_deleted` (bool) and a column for each
            feature, found by name.
        layout: of the view.
        prefix: of the view's version, see `naming.online_prefix`.
        write_version: orders this write among all writes of the same keys.
        expiry_shift: added to `expires_at`; not zero where the environment's clock stands still.
        now: the wall clock; deleted rows become tombstones that expire `TOMBSTONE` later.

    Raises:
        PlaneError: a key is null, or a column is absent or does not fit its type.
    """
    keys = zip(*(_key_texts(batch, name, kind) for name, kind in layout.keys), strict=True)
    rows = zip(*(_stored(batch, field.name, field.type) for field in layout.fields), strict=True)
    effective = _stored(batch, "valid_from", "timestamp")
    expires = _stored(batch, "expires_at", "timestamp")
    deleted = _stored(batch, "is_deleted", "bool")
    if None in effective:
        raise PermanentError("a row to write online has no valid_from")
    shift = expiry_shift // MICROSECOND
    head, tombstone = value_head(len(layout.fields), write_version), value_head(0, write_version)
    forgotten_ms = (now + TOMBSTONE - EPOCH) // _MILLISECOND
    records = []
    for key, row, since, until, gone in zip(keys, rows, effective, expires, deleted, strict=True):
        name = row_key(prefix, ":".join(key).encode())
        if gone:
            records.append(Record(name, tombstone + stamp(since), forgotten_ms))
        else:
            # Rounded up: an expiry within a millisecond is enforced by readers, a value lost early by nobody.
            expires_ms = None if until is None else -(-(until + shift) // 1000)
            records.append(Record(name, head + stamp(since) + features(row), expires_ms))
    return records


def _key_texts(batch: pa.RecordBatch, name: str, kind: str) -> Iterable[str]:
    return map(key_text(name, kind), _column(batch, name, kind).to_pylist())


def _stored(batch: pa.RecordBatch, name: str, kind: str) -> list[Any]:
    """A column's values as MessagePack has them; see `controlplane.codec.values`."""
    column = _column(batch, name, kind)
    values = column.cast(_plain(column.type)).to_pylist()
    text = _decimal_text(kind)
    return [text(value) for value in values] if text else values


def _column(batch: pa.RecordBatch, name: str, kind: str) -> pa.Array:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise PermanentError(f"the rows to write online have no one column {name!r}")
    column = batch.column(index)
    try:
        typed = column.cast(arrow_type(kind))
    except pa.ArrowException as error:
        raise PermanentError(f"column {name!r} ({column.type}) can't be written online as {kind}: {error}") from None
    _check_years(typed, name, kind)
    return typed


def _plain(arrow: pa.DataType) -> pa.DataType:
    """The same with whole numbers for dates and timestamps."""
    if pa.types.is_list(arrow):
        return pa.list_(_plain(arrow.value_type))
    return {pa.date32(): pa.int32(), pa.timestamp("us"): pa.int64()}.get(arrow, arrow)


def _check_years(column: pa.Array, name: str, kind: str) -> None:
    while kind.startswith("array<"):
        column, kind = column.flatten(), _item(kind)
    if kind not in _YEARS:
        return
    first, last = pc.min_max(column.cast(_plain(column.type))).as_py().values()
    if first is not None and (first < _YEARS[kind][0] or last > _YEARS[kind][1]):
        raise PermanentError(
            f"column {name!r} holds a {kind} outside the years 1 to 9999, which can't be read online",
            hint="write null for infinite and unknown times",
        )


def _decimal_text(kind: str) -> Callable[[Any], Any] | None:
    """What spells decimals, in arrays too; None for other types."""
    if is_decimal(kind):
        return lambda value: None if value is None else f"{value:f}"
    if kind.startswith("array<") and (text := _decimal_text(_item(kind))):
        return lambda items: None if items is None else [text(item) for item in items]
    return None


def _item(kind: str) -> str:
    return kind.removeprefix("array<")[:-1]
