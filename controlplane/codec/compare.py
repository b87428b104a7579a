"""Compare records with the values in the online store, in batches and without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.types import MICROSECOND
from controlplane.codec.batch import RECORDS, TOMBSTONE
from controlplane.codec.values import tombstone

_VERSION = 8  # bytes of a write version
_SHORT, _LONG = 1, 3  # bytes of an array's header
_NEAR_MS = 2_000  # tolerance: the server's clock differs, and the round trip takes time

Mask = npt.NDArray[np.bool_]


class Outcome(NamedTuple):
    """The result of a comparison.

    Attributes:
        counts: the number of records that are `right`, `newer`, `pending`, `missing`, `wrong`, or
            wrong only in their `expiry`.
        bad: the records to be written again.
    """

    counts: dict[str, int]
    bad: pa.RecordBatch


def compare(
    records: pa.RecordBatch,
    rows: pa.RecordBatch,
    stored_values: Sequence[bytes | None],
    expiries: Sequence[int | None],
    *,
    write_version: int,
    synced: int | None,
    now_ms: int,
    exact_expiry: bool,
) -> Outcome:
    """Compare records with the values that are stored under their keys.

    Args:
        records: as `encode_batch` made them of `rows`.
        rows: with `is_deleted`, and the `version` of the publication that each comes from.
        stored_values: the value of each key; None: there is none.
        expiries: when each value expires, in milliseconds since the epoch.
        write_version: of the newest publication among the rows: a value with a greater one is newer
            than the rows.
        synced: the last publication that must be stored completely; None: all must be.
        now_ms: the wall clock after the values were read.
        exact_expiry: whether to compare the times of expiry, or only whether values expire.
    """
    stored, expected = pa.array(stored_values, pa.binary()), records.column("value")
    versions, tombs = _versions(stored)
    absent = _mask(stored.is_null())
    expires = records.column("expires_ms")
    gone = _mask(rows.column("is_deleted")) | _mask(pc.less_equal(expires, now_ms + _NEAR_MS))
    equal = _equal(expected, stored)
    right = equal | (gone & (absent | tombs))
    newer = ~right & (versions > write_version)
    pending = (
        ~right
        & ~newer
        & (_numbers(rows.column("version")) > (2**63 - 1 if synced is None else synced))
    )
    missing = ~right & ~newer & ~pending & absent
    wrong = ~(right | newer | pending | missing)
    lasting = (
        equal & ~gone & ~_same_expiry(expires, pa.array(expiries, pa.int64()), exact=exact_expiry)
    )
    bad = records.filter(pa.array(missing | wrong | lasting))
    masks = {
        "right": right & ~lasting,
        "newer": newer,
        "pending": pending,
        "missing": missing,
        "wrong": wrong,
        "expiry": lasting,
    }
    return Outcome({name: int(mask.sum()) for name, mask in masks.items()}, bad)


class KeySet:
    """A set of keys, in 8 bytes for each: the 64-bit hash.

    Two keys may share a hash, so `without` may miss a key; that is very rare.
    """

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.uint64]] = []
        self._sorted: npt.NDArray[np.uint64] | None = None

    def add(self, keys: pa.Array) -> None:
        """Add binary keys."""
        self._parts.append(_hashes(keys))
        self._sorted = None

    def without(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the keys that are certainly not in the set."""
        if self._sorted is None:
            self._sorted = np.unique(np.concatenate([np.empty(0, np.uint64), *self._parts]))
        hashes = _hashes(pa.array(keys, pa.binary()))
        positions = np.minimum(np.searchsorted(self._sorted, hashes), max(len(self._sorted) - 1, 0))
        known = (
            self._sorted[positions] == hashes
            if len(self._sorted)
            else np.zeros(len(hashes), np.bool_)
        )
        return [keys[index] for index in np.flatnonzero(~known).tolist()]


def keys_of_older_values(
    keys: Sequence[bytes], stored_values: Sequence[bytes | None], write_version: int
) -> list[bytes]:
    """Return the keys whose value is neither newer than `write_version` nor a tombstone."""
    stored = pa.array(stored_values, pa.binary())
    versions, tombs = _versions(stored)
    chosen = ~_mask(stored.is_null()) & ~tombs & (versions <= write_version)
    return [keys[index] for index in np.flatnonzero(chosen).tolist()]


def tombstone_records(keys: Sequence[bytes], write_version: int, now_ms: int) -> pa.RecordBatch:
    """Return records that write tombstones under `keys`."""
    value = tombstone(write_version, now_ms * 1000)
    expires = now_ms + TOMBSTONE // MICROSECOND // 1000
    return pa.record_batch([list(keys), [value] * len(keys), [expires] * len(keys)], schema=RECORDS)


def _equal(expected: pa.Array, stored: pa.Array) -> Mask:
    """Compare values without their write versions."""
    long = _mask(pc.equal(pc.binary_slice(expected, 0, 1), b"\xdc"))
    same = _same_behind(_SHORT, expected, stored)
    return np.where(long, _same_behind(_LONG, expected, stored), same) if long.any() else same


def _same_behind(head: int, expected: pa.Array, stored: pa.Array) -> Mask:
    start, stop = head + 1, head + 1 + _VERSION
    return _mask(
        pc.equal(
            *(pc.binary_replace_slice(values, start, stop, b"") for values in (expected, stored))
        )
    )


def _versions(values: pa.Array) -> tuple[npt.NDArray[np.int64], Mask]:
    """Return each value's write version, and whether it is a tombstone.

    The version is the smallest int64 if the bytes are not a value of this format.
    """
    offsets = np.frombuffer(values.buffers()[1], np.int32)[
        values.offset : values.offset + len(values) + 1
    ]
    data = np.append(
        np.frombuffer(values.buffers()[2] or b"", np.uint8),
        np.zeros(_LONG + 1 + _VERSION, np.uint8),
    )
    start, lengths = offsets[:-1].astype(np.int64), np.diff(offsets)
    first = data[start]
    head = np.where(first == 0xDC, _LONG, _SHORT)
    valid = (
        (lengths >= head + 2 * (1 + _VERSION))
        & (data[start + head] == 0xD3)
        & ~_mask(values.is_null())
    )
    bytes_ = data[(start + head + 1)[:, None] + np.arange(_VERSION)]
    versions = np.where(
        valid, np.ascontiguousarray(bytes_).view(">i8")[:, 0], np.iinfo(np.int64).min
    )
    return versions.astype(np.int64), valid & (first == 0x92)


def _same_expiry(expected: pa.Array, stored: pa.Array, *, exact: bool) -> Mask:
    same = _mask(pc.equal(expected.is_null(), stored.is_null()))
    if exact:
        same &= _mask(pc.less_equal(pc.abs(pc.subtract(expected, stored)), _NEAR_MS), null=True)
    return same


def _hashes(keys: pa.Array) -> npt.NDArray[np.uint64]:
    """Return the FNV-1a hash of each key."""
    offsets = np.frombuffer(keys.buffers()[1], np.int32)[
        keys.offset : keys.offset + len(keys) + 1
    ].astype(np.int64)
    data = np.frombuffer(keys.buffers()[2] or b"", np.uint8)
    lengths = np.diff(offsets)
    # All keys advance by one byte at a time; sorted by length, those not yet done come first.
    order = np.argsort(-lengths)
    start, ends = offsets[:-1][order], -lengths[order]
    hashes = np.full(len(keys), 0xCBF29CE484222325, np.uint64)
    for index in range(lengths.max(initial=0)):
        longer = hashes[: np.searchsorted(ends, -index)]
        longer ^= data[start[: len(longer)] + index]
        longer *= np.uint64(0x100000001B3)
    unsorted_hashes = np.empty_like(hashes)
    unsorted_hashes[order] = hashes
    return unsorted_hashes


def _mask(column: pa.Array, *, null: bool = False) -> Mask:
    mask: Mask = column.fill_null(null).to_numpy(zero_copy_only=False)
    return mask


def _numbers(column: pa.Array) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers
