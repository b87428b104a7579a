"""Values: every type comes back as it was, and the first bytes are where a server script looks for
them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.base.types import EPOCH, MICROSECOND, micros
from controlplane.codec import Field, Layout, decode, online_key, tombstone, write_version_of
from controlplane.codec.batch import TOMBSTONE, encode_batch
from controlplane.errors import PermanentError, PlaneError
from tests.codec.rows import Record, as_records

NOW = datetime(2013, 3, 1, tzinfo=UTC)
SINCE = datetime(2013, 1, 1, 6, tzinfo=UTC)
INT64 = st.integers(-(2**63), 2**63 - 1)
TYPES = {
    "bool": (pa.bool_(), [True, False, None]),
    "int64": (pa.int64(), [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), None]),
    "float64": (
        pa.float64(),
        [0.0, -0.0, 1.5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, None],
    ),
    "string": (pa.string(), ["", "JFK", "a\0b", "{x}:%", "naïve 🛫", "\n" * 300, None]),
    "binary": (pa.binary(), [b"", b"\x00\xff", bytes(range(256)), None]),
    "date": (
        pa.date32(),
        [date(1, 1, 1), date(1969, 12, 31), date(2013, 1, 1), date(9999, 12, 31), None],
    ),
    "timestamp": (
        pa.timestamp("us", "UTC"),
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
            None,
        ],
    ),
    "decimal(38,0)": (
        pa.decimal128(38, 0),
        [Decimal(10**38 - 1), Decimal(-(10**38) + 1), Decimal(0), None],
    ),
    "decimal(38,38)": (
        pa.decimal128(38, 38),
        [Decimal("0." + "0" * 37 + "1"), Decimal("-0." + "9" * 38), None],
    ),
    "decimal(12,2)": (pa.decimal128(12, 2), [Decimal("1.50"), Decimal("-1234567890.12"), None]),
    "array<int64>": (pa.list_(pa.int64()), [[], [1, None, 2**63 - 1], None]),
    "array<float64>": (pa.list_(pa.float64()), [[math.nan, None, -math.inf], []]),
    "array<string>": (pa.list_(pa.string()), [["a\0", None, ""]]),
    "array<date>": (pa.list_(pa.date32()), [[date(2013, 1, 1), None], None]),
    "array<timestamp>": (pa.list_(pa.timestamp("us")), [[datetime(2013, 1, 1, tzinfo=UTC), None]]),
    "array<decimal(10,10)>": (pa.list_(pa.decimal128(10, 10)), [[Decimal("1E-10"), None], None]),
    "array<array<bool>>": (pa.list_(pa.list_(pa.bool_())), [[[True, None], None, []], None]),
}


def rows(features: dict[str, pa.Array], **columns: object) -> pa.RecordBatch:
    """A batch as the warehouse gives it, keyed by `k` = 0, 1, ..."""
    count = len(next(iter(features.values())))
    whole = {
        "k": pa.array(range(count), pa.int64()),
        "valid_from": pa.array([SINCE] * count, pa.timestamp("us", "UTC")),
        "expires_at": pa.nulls(count, pa.timestamp("us")),
        "is_deleted": pa.array([False] * count),
    }
    return pa.RecordBatch.from_pydict({**whole, **features, **columns})


def shape(*types: str) -> Layout:
    return Layout(
        (("k", "int64"),), tuple(Field(f"f{place}", kind) for place, kind in enumerate(types))
    )


def encode(batch: pa.RecordBatch, layout: Layout, **options: object) -> list[Record]:
    given: dict[str, Any] = {
        "write_version": 7,
        "expiry_shift": timedelta(0),
        "now": NOW,
        **options,
    }
    return as_records(encode_batch(batch, layout, b"p:", **given))


def utc(value: Any) -> Any:
    if isinstance(value, list):
        return [utc(item) for item in value]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_comes_back_as_it_was(kind):
    arrow, values = TYPES[kind]
    layout = shape(kind)
    records = encode(rows({"f0": pa.array(values, arrow)}), layout)
    found = [decode(record.value, layout).values for record in records]
    # Repr tells NaN, -0.0, 1.50 and the types apart.
    assert repr(found) == repr([(value,) for value in utc(values)])
    for record in records:
        version, since, _ = msgspec.msgpack.decode(record.value)  # readable without a layout
        assert (version, since) == (7, micros(SINCE))


def test_wire_forms_are_those_of_the_table():
    values = {
        "date": date(1970, 1, 3),
        "timestamp": EPOCH + timedelta(seconds=2),
        "decimal(12,2)": Decimal("1E+1"),
    }
    columns = {
        f"f{place}": pa.array([value], TYPES[kind][0])
        for place, (kind, value) in enumerate(values.items())
    }
    [record] = encode(rows(columns), shape(*values))
    assert msgspec.msgpack.decode(record.value)[2:] == [2, 2_000_000, "10.00"]


@given(
    st.lists(
        st.tuples(INT64, st.floats(), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1
    )
)
def test_rows_come_back_in_order(drawn):
    layout = shape("int64", "float64", "string")
    columns = {f"f{place}": pa.array([row[place] for row in drawn]) for place in range(3)}
    found = [decode(record.value, layout).values for record in encode(rows(columns), layout)]
    assert repr(found) == repr(drawn)


@given(version=INT64, since=st.integers(0, 2**50), count=st.integers(1, 40))
def test_the_first_two_elements_are_int64_at_a_fixed_place(version, since, count):
    layout = shape(*["int64"] * count)
    columns = {f"f{place}": pa.array([place]) for place in range(count)}
    [record] = encode(
        rows(columns, valid_from=pa.array([since], pa.timestamp("us"))),
        layout,
        write_version=version,
    )
    start = 1 if count + 2 <= 15 else 3
    assert record.value[0] == (0x90 + count + 2 if count + 2 <= 15 else 0xDC)
    assert record.value[start : start + 18 : 9] == b"\xd3\xd3"
    assert int.from_bytes(record.value[start + 1 : start + 9], "big", signed=True) == version
    assert write_version_of(record.value) == version
    assert decode(record.value, layout) == (version, since, tuple(range(count)))


@pytest.mark.parametrize("count", [12, 13, 14, 15, 16, 17])
def test_long_and_short_headers_meet_without_a_gap(count):
    layout = shape(*["bool"] * count)
    columns = {f"f{place}": pa.array([place % 2 == 0]) for place in range(count)}
    [record] = encode(rows(columns), layout)
    assert record.value[0] == (0x92 + count if count <= 13 else 0xDC)
    assert msgspec.msgpack.decode(record.value) == [7, micros(SINCE)] + [
        place % 2 == 0 for place in range(count)
    ]


def test_a_tombstone_has_no_values():
    value = tombstone(-3, 5)
    assert msgspec.msgpack.decode(value) == [-3, 5]
    assert decode(value, shape("int64")) == (-3, 5, None)
    assert write_version_of(value) == -3


def test_a_deleted_row_is_a_tombstone_for_a_week():
    batch = rows({"f0": pa.array([1, 2])}, is_deleted=pa.array([True, False]))
    gone, kept = encode(batch, shape("int64"), expiry_shift=timedelta(days=900))
    assert gone == (
        b"p:{0}",
        tombstone(7, micros(SINCE)),
        (micros(NOW) // 1000) + TOMBSTONE // timedelta(milliseconds=1),
    )
    assert (kept.key, kept.expires_ms) == (b"p:{1}", None)


def test_expiries_are_shifted_and_rounded_up_to_milliseconds():
    ends = [EPOCH + timedelta(seconds=5), EPOCH + timedelta(seconds=5, microseconds=1), None]
    batch = rows({"f0": pa.array([1, 2, 3])}, expires_at=pa.array(ends, pa.timestamp("us", "UTC")))
    assert [r.expires_ms for r in encode(batch, shape("int64"))] == [5000, 5001, None]
    shifted = encode(batch, shape("int64"), expiry_shift=timedelta(days=1, microseconds=999))
    assert [r.expires_ms for r in shifted] == [86_405_001, 86_405_001, None]


def test_batch_and_request_spell_the_same_key():
    types = {
        "string": (pa.string(), "JFK {é}"),
        "int64": (pa.int32(), -5),
        "bool": (pa.bool_(), True),
        "date": (pa.date32(), date(2013, 1, 1)),
        "timestamp": (
            pa.timestamp("us", "America/New_York"),
            datetime(2013, 1, 1, 5, 0, 0, 1, UTC),
        ),
        "binary": (pa.large_binary(), b"\0"),
        "decimal(9,2)": (pa.decimal128(9, 2), Decimal("2.5")),
    }
    keys = tuple((f"key{place}", kind) for place, kind in enumerate(types))
    layout = Layout(keys, (Field("f0", "int64"),))
    values = {name: types[kind][1] for name, kind in keys}
    columns = {name: pa.array([types[kind][1]], types[kind][0]) for name, kind in keys}
    [record] = encode(rows({"f0": pa.array([1])}, **columns), layout)
    assert record.key == online_key(b"p:", layout, values)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("int64", pa.array([Decimal(5)], pa.decimal128(38, 0))),
        ("int64", pa.array([5], pa.int16())),
        ("float64", pa.array([5.0], pa.float32())),
        ("string", pa.array(["5"]).dictionary_encode()),
        ("string", pa.array(["5"], pa.large_string())),
        ("timestamp", pa.array([5], pa.timestamp("ms"))),
        ("array<int64>", pa.array([[5]], pa.large_list(pa.int32()))),
    ],
)
def test_what_warehouses_send_is_brought_to_its_type(kind, column):
    [record] = encode(rows({"f0": column}), shape(kind))
    assert msgspec.msgpack.decode(record.value)[2] in (5, "5", [5], 5000)


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        ("int64", pa.array([1.5]), "'f0'.*int64"),
        ("int64", pa.array(["JFK"]), "'f0'.*int64"),
        ("decimal(5,2)", pa.array([Decimal("1.234")]), "'f0'.*decimal"),
        (
            "timestamp",
            pa.array([2**63 - 1], pa.timestamp("us")),
            "'f0' holds a timestamp outside the years",
        ),
        (
            "array<date>",
            pa.array([[2**31 - 1]], pa.list_(pa.date32())),
            "'f0' holds a date outside the years",
        ),
    ],
)
def test_what_does_not_fit_its_type_is_refused_by_name(kind, column, message):
    with pytest.raises(PermanentError, match=message):
        encode(rows({"f0": column}), shape(kind))


def test_absent_columns_and_null_keys_are_refused():
    with pytest.raises(PermanentError, match="exactly one column 'f1'"):
        encode(rows({"f0": pa.array([1])}), shape("int64", "int64"))
    with pytest.raises(PlaneError, match="key 'k' is absent or null"):
        encode(rows({"f0": pa.array([1])}, k=pa.array([None], pa.int64())), shape("int64"))
    with pytest.raises(PermanentError, match="no valid_from"):
        encode(
            rows({"f0": pa.array([1])}, valid_from=pa.nulls(1, pa.timestamp("us"))), shape("int64")
        )


def test_an_empty_batch_is_no_record():
    assert encode(rows({"f0": pa.array([1])}).slice(0, 0), shape("int64")) == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x92",
        b"\xdc",
        b"text",
        msgspec.msgpack.encode([1, 2, 3]) + b"more",
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"a": 1}),
        tombstone(1, 2)[:-1],
    ],
)
def test_a_foreign_value_is_told(value):
    with pytest.raises(PermanentError, match="not written in the layout") as raised:
        write_version_of(value)
    assert raised.value.hint


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x92",
        b"text",
        msgspec.msgpack.encode([1, 2, "text"]),
        msgspec.msgpack.encode([1, 2, 3, 4]),
        tombstone(1, 2)[:-1],
    ],
)
def test_a_value_of_another_layout_is_told(value):
    with pytest.raises(PermanentError, match="not written in the layout"):
        decode(value, shape("int64"))


def test_times_beyond_python_are_told():
    value = msgspec.msgpack.encode([1, 2, 2**62])
    for kind in ("date", "timestamp"):
        with pytest.raises(PermanentError, match="not written in the layout"):
            decode(value, shape(kind))


def test_a_layout_has_one_json_form():
    layout = Layout(
        (("k", "int64"),),
        (Field("n", "int64", 0), Field("l", "array<int64>", ()), Field("x", "bool")),
    )
    text = msgspec.json.encode(msgspec.structs.replace(layout, ttl=timedelta(days=1) + MICROSECOND))
    assert msgspec.json.encode(msgspec.json.decode(text, type=Layout)) == text
    assert msgspec.json.decode(msgspec.json.encode(layout), type=Layout) == layout
