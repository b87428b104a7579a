"""Comparing records with what is there: against the same rules, row by row in plain Python."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.codec import tombstone
from controlplane.codec.compare import KeySet, compare, keys_of_older_values, tombstone_records
from controlplane.codec.values import value_head
from tests.codec.rows import Record, as_batch, value

NOW = 1_800_000_000_000
WRITTEN, SYNCED = 50, 30
HOUR = 3_600_000


def kind(
    record: Record,
    deleted: bool,
    version: int,
    found: bytes | None,
    expiry: int | None,
    synced: int | None,
) -> str:
    """What `compare` is to say of one row."""
    tomb = found is not None and found.startswith(b"\x92\xd3") and len(found) == 19
    gone = deleted or (record.expires_ms is not None and record.expires_ms <= NOW)
    same = found is not None and masked(found) == masked(record.value)
    if same and not gone and not near(record.expires_ms, expiry):
        return "expiry"
    if same or (gone and (found is None or tomb)):
        return "right"
    if found is not None and write_version(found) > WRITTEN:
        return "newer"
    if synced is not None and version > synced:
        return "pending"
    return "missing" if found is None else "wrong"


def masked(found: bytes) -> bytes:
    head = 3 if found.startswith(b"\xdc") else 1
    return found[: head + 1] + found[head + 9 :]


def write_version(found: bytes) -> int:
    head = 3 if found.startswith(b"\xdc") else 1
    valid = len(found) >= head + 18 and found[head] == 0xD3
    return int.from_bytes(found[head + 1 : head + 9], "big", signed=True) if valid else -(2**63)


def near(wanted: int | None, found: int | None) -> bool:
    return (wanted is None) == (found is None) and (
        wanted is None or found is None or abs(wanted - found) <= 2_000
    )


EXPIRIES = st.sampled_from([None, NOW - HOUR, NOW + HOUR, NOW + HOUR + 1_500, NOW + 2 * HOUR])
VALUES = st.builds(
    lambda version, width, number: value(version, *[number] * width),
    st.sampled_from([-5, 0, 20, 50, 51, 2**62]),
    st.sampled_from([1, 2, 13, 14, 20]),
    st.integers(0, 2),
)
FOUND = st.one_of(
    st.none(),
    VALUES,
    st.builds(tombstone, st.sampled_from([20, 60]), st.just(1)),
    st.sampled_from([b"", b"x", b"\xdc", b"\x92", value_head(3, 70), b"\xd3" * 30]),
    st.binary(max_size=24),
)
ROWS = st.lists(
    st.tuples(
        VALUES,
        st.booleans(),
        EXPIRIES,
        st.sampled_from([10, 30, 31, 50]),
        FOUND,
        EXPIRIES,
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(rows=ROWS, synced=st.sampled_from([None, 0, SYNCED, WRITTEN]), start=st.integers(0, 2))
def test_a_row_is_of_the_kind_that_the_rules_say(rows, synced, start):
    rows = rows[min(start, len(rows) - 1) :]
    records, states = [], []
    for number, (given_, deleted, expires, version, found, expiry, same) in enumerate(rows):
        wanted = tombstone(WRITTEN, 1) if deleted else value_at(given_, WRITTEN)
        records.append(Record(b"k:{%d}" % number, wanted, NOW + HOUR if deleted else expires))
        states.append(
            (deleted, version, value_at(wanted, 40) if same else found, expires if same else expiry)
        )
    batch = as_batch([Record(b"pad", b"pad"), *records]).slice(1)
    table = pa.record_batch(
        {"is_deleted": [s[0] for s in states], "version": [s[1] for s in states]}
    )
    outcome = compare(
        batch,
        table,
        [s[2] for s in states],
        [s[3] for s in states],
        write_version=WRITTEN,
        synced=synced,
        now_ms=NOW,
        exact_expiry=True,
    )
    kinds = [
        kind(record, deleted, version, found, expiry, synced)
        for record, (deleted, version, found, expiry) in zip(records, states, strict=True)
    ]
    assert outcome.counts == {name: kinds.count(name) for name in outcome.counts}
    bad = [
        record.key
        for record, what in zip(records, kinds, strict=True)
        if what in ("missing", "wrong", "expiry")
    ]
    assert outcome.bad.column("key").to_pylist() == bad


def value_at(found: bytes, version: int) -> bytes:
    head = 3 if found.startswith(b"\xdc") else 1
    return found[: head + 1] + version.to_bytes(8, "big", signed=True) + found[head + 9 :]


def test_where_time_stands_still_only_that_a_value_expires_is_compared():
    record, row = (
        Record(b"k", value(WRITTEN, 1), NOW + HOUR),
        pa.record_batch({"is_deleted": [False], "version": [1]}),
    )

    def said(expiry: int | None) -> dict[str, int]:
        one = as_batch([record])
        return compare(
            one,
            row,
            [record.value],
            [expiry],
            write_version=WRITTEN,
            synced=None,
            now_ms=NOW,
            exact_expiry=False,
        ).counts

    assert said(NOW + 9 * HOUR)["right"] == 1
    assert said(None)["expiry"] == 1


@given(known=st.lists(st.binary(max_size=12)), asked=st.lists(st.binary(max_size=12)))
def test_what_is_not_in_a_set_of_keys(known, asked):
    keys = KeySet()
    for start in range(0, len(known), 3):
        keys.add(pa.array([b"pad", *known[start : start + 3]], pa.binary()).slice(1))
    assert keys.without([*known, *asked]) == [key for key in asked if key not in known]


def test_extra_keys_are_those_of_older_values():
    found = [None, value(WRITTEN, 1), value(WRITTEN + 1, 1), tombstone(3, 1), b"junk", value(2, 1)]
    keys = [b"%d" % n for n in range(len(found))]
    assert keys_of_older_values(keys, found, WRITTEN) == [b"1", b"4", b"5"]


@pytest.mark.parametrize("count", [0, 2])
def test_tombstones_for_extra_keys(count):
    keys = [b"%d" % n for n in range(count)]
    batch = tombstone_records(keys, WRITTEN, NOW)
    assert batch.equals(
        as_batch(Record(key, tombstone(WRITTEN, NOW * 1000), NOW + 7 * 24 * HOUR) for key in keys)
    )
