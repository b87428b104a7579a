"""Whole batches: the kernels write the same bytes as the format in plain Python, whatever the rows
are."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.codec import Field, Layout
from controlplane.codec.arrow import arrow_type
from controlplane.codec.batch import encode_batch
from controlplane.errors import PermanentError
from tests.codec.rows import as_records, encode_rows

NOW = datetime(2013, 3, 1, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INT64 = st.integers(-(2**63), 2**63 - 1)
# Around every size at which MessagePack changes its form.
STEPS = st.sampled_from(
    [s * (2**b) + d for b in (5, 7, 8, 15, 16, 31, 32, 53) for s in (1, -1) for d in (-1, 0, 1)]
)
TIMES = st.datetimes()


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    largest = 10**precision - 1
    context = Context(prec=precision)
    return st.integers(-largest, largest).map(
        lambda number: Decimal(number).scaleb(-scale, context)
    )


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int64": STEPS | INT64,
    "string": TEXT,
    "binary": st.binary(),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "timestamp": TIMES,
    "decimal(38,0)": decimals(38, 0),
    "decimal(38,38)": decimals(38, 38),
    "decimal(9,2)": decimals(9, 2),
}
LONG = st.sampled_from([31, 32, 255, 256, 65_535, 65_536])
VALUES = SCALARS | {"float64": st.floats()}
VALUES |= {
    f"array<{kind}>": st.lists(st.none() | values, max_size=4) for kind, values in VALUES.items()
}
VALUES |= {
    "array<array<string>>": st.lists(st.none() | VALUES["array<string>"], max_size=4),
    "array<bool>": st.lists(st.none() | st.booleans(), max_size=3) | LONG.map([True].__mul__),
    "string": TEXT | LONG.map("x".__mul__),
    "binary": st.binary() | LONG.map(bytes),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Layout, list[dict[str, Any]]]:
    keys = draw(st.lists(st.sampled_from(sorted(SCALARS)), min_size=1, max_size=2))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    layout = Layout(
        tuple((f"k{place}", kind) for place, kind in enumerate(keys)),
        tuple(Field(f"f{place}", kind) for place, kind in enumerate(kinds)),
    )
    columns = {name: SCALARS[kind] for name, kind in layout.keys}
    columns |= {field.name: st.none() | VALUES[field.type] for field in layout.fields}
    columns |= {
        "valid_from": TIMES,
        "expires_at": st.none() | TIMES,
        "is_deleted": st.sampled_from([False, True, None]),
    }
    return layout, draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=4))


def batch_of(layout: Layout, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    types = dict(layout.keys) | {field.name: field.type for field in layout.fields}
    types |= {"valid_from": "timestamp", "expires_at": "timestamp", "is_deleted": "bool"}
    return pa.RecordBatch.from_pydict(
        {
            name: pa.array([row[name] for row in rows], arrow_type(kind))
            for name, kind in types.items()
        }
    )


@settings(max_examples=40)
@given(
    table=tables(),
    skipped=st.integers(0, 3),
    write_version=INT64,
    expiry_shift=st.sampled_from([timedelta(0), timedelta(days=900, microseconds=1)]),
)
def test_the_kernels_write_what_plain_python_writes(table, skipped, write_version, expiry_shift):
    layout, rows = table
    options = {"write_version": write_version, "expiry_shift": expiry_shift, "now": NOW}
    found = encode_batch(batch_of(layout, rows).slice(skipped), layout, b"p:", **options)
    assert as_records(found) == encode_rows(rows[skipped:], layout, b"p:", **options)


SIZES: dict[str, list[Any]] = {
    "int64": [
        sign * 2**bits + d
        for bits in (0, 5, 7, 8, 15, 16, 31, 32, 62)
        for sign in (1, -1)
        for d in (-1, 0, 1)
    ],
    "string": ["x" * length for length in (0, 1, 31, 32, 255, 256, 65_535, 65_536)],
    "binary": [b"x" * length for length in (0, 1, 255, 256, 65_535, 65_536)],
    "array<bool>": [[True] * length for length in (0, 1, 15, 16, 65_535, 65_536)],
}


@pytest.mark.parametrize("kind", SIZES)
def test_columns_of_one_size_and_of_two(kind):
    layout = Layout((("k", "int64"),), (Field("f", kind),))
    options: dict[str, Any] = {"write_version": 1, "expiry_shift": timedelta(0), "now": NOW}
    for one, next_one in pairwise([*SIZES[kind], None]):
        for values in ([one], [one, one], [one, None], [None, one, one], [one, next_one]):
            rows = [row(k, f=value) for k, value in enumerate(values)]
            found = encode_batch(batch_of(layout, rows), layout, b"", **options)
            assert as_records(found) == encode_rows(rows, layout, b"", **options), values


def test_the_bits_of_a_nan_stay():
    bits = pa.array([0x7FF8000000000000, 0xFFF0DEADBEEF0001, 0x8000000000000000], pa.uint64()).view(
        pa.float64()
    )
    layout = Layout((("k", "int64"),), (Field("f", "float64"),))
    rows = batch_of(layout, [row(k) for k in range(3)]).set_column(1, "f", bits)
    found = [r.value[-9:] for r in encoded(rows, layout)]
    assert found == [
        b"\xcb" + number.to_bytes(8, "big") for number in bits.view(pa.uint64()).to_pylist()
    ]


def test_a_large_batch_comes_in_pieces_in_order():
    layout = Layout((("k", "int64"),), (Field("f", "string"),))
    rows = batch_of(layout, [row(k, f="x" * (k % 50)) for k in range(50_000)])
    given: dict[str, Any] = {"write_version": 1, "expiry_shift": timedelta(0), "now": NOW}
    pieces = list(encode_batch(rows, layout, b"", **given))
    assert len(pieces) > 1
    assert [r.key for r in as_records(pieces)] == [b"{%d}" % k for k in range(50_000)]
    wide = batch_of(layout, [row(k, f="x" * 1_000_000) for k in range(20)])
    assert max(piece.nbytes for piece in encode_batch(wide, layout, b"", **given)) < 10_000_000


def test_null_lists_may_have_items():
    items = pa.array(["a", "b", "c"])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3]), items, mask=pa.array([True, False]))
    layout = Layout((("k", "int64"),), (Field("f", "array<string>"),))
    found = encoded(batch_of(layout, [row(0), row(1)]).set_column(1, "f", lists), layout)
    assert [r.value[-3:] for r in found] == [found[0].value[-3:-1] + b"\xc0", b"\x91\xa1c"]


def test_text_that_is_no_utf8_is_refused():
    broken = pa.array([b"\xff"]).view(pa.string())
    layout = Layout((("k", "int64"),), (Field("f", "string"),))
    with pytest.raises(PermanentError, match=r"column 'f'.*UTF8"):
        encoded(batch_of(layout, [row(0)]).set_column(1, "f", broken), layout)


def row(k: int, f: object = None) -> dict[str, Any]:
    return {"k": k, "f": f, "valid_from": NOW, "expires_at": None, "is_deleted": False}


def encoded(batch: pa.RecordBatch, layout: Layout) -> list[Any]:
    return as_records(
        encode_batch(batch, layout, b"", write_version=1, expiry_shift=timedelta(0), now=NOW)
    )
