"""Rows as records of the online store, one by one: the format in plain Python, which the kernels
are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from controlplane.base.types import MICROSECOND, micros
from controlplane.codec import Layout, online_key
from controlplane.codec.batch import RECORDS, TOMBSTONE
from controlplane.codec.values import stamp, tombstone, value_head

EPOCH_DAY = date(1970, 1, 1)


class Record(NamedTuple):
    """One value to write under one key."""

    key: bytes
    value: bytes
    expires_ms: int | None = None


def as_batch(records: Iterable[Record]) -> pa.RecordBatch:
    """Records as an online store takes them."""
    columns = list(zip(*records, strict=True)) or [(), (), ()]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, RECORDS, strict=True)],
        schema=RECORDS,
    )


def as_records(batches: Iterable[pa.RecordBatch]) -> list[Record]:
    """The reverse."""
    return [Record(**row) for batch in batches for row in batch.to_pylist()]


def value(version: int, *row: object, since: int = 1) -> bytes:
    """A value, of features as MessagePack has them."""
    return value_head(len(row), version) + stamp(since) + b"".join(map(msgspec.msgpack.encode, row))


def encode_rows(
    rows: Sequence[Mapping[str, Any]],
    layout: Layout,
    prefix: bytes,
    *,
    write_version: int,
    expiry_shift: timedelta,
    now: datetime,
) -> list[Record]:
    """What `codec.batch.encode_batch` is to write of the same rows."""
    records = []
    for row in rows:
        key, since = online_key(prefix, layout, row), micros(row["valid_from"])
        if row["is_deleted"]:
            gone = (micros(now + TOMBSTONE)) // 1000
            records.append(Record(key, tombstone(write_version, since), gone))
            continue
        features = [stored(row[field.name]) for field in layout.fields]
        until = row["expires_at"]
        expires = (
            None if until is None else -(-(micros(until) + expiry_shift // MICROSECOND) // 1000)
        )
        records.append(Record(key, value(write_version, *features, since=since), expires))
    return records


def stored(value: Any) -> Any:
    """A value as MessagePack has it."""
    match value:
        case list():
            return [stored(item) for item in value]
        case datetime():
            return micros(value)
        case date():
            return (value - EPOCH_DAY).days
        case Decimal():
            return f"{value:f}"
    return value
