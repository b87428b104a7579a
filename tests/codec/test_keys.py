"""Keys: canonical, typed, and never the same for different entities."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from controlplane.base import naming
from controlplane.codec import Field, Layout, entity_key, online_key, parse_key_text
from controlplane.errors import PlaneError

VALUES = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.text(":%{}~ 3AB", max_size=4),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "binary": st.binary(max_size=4),
    "decimal(12,3)": st.decimals(-999_999_999, 999_999_999, places=3),
}
TEXT = Layout(keys=(("a", "string"), ("b", "string")), fields=(Field("f", "int64"),))


def layout(*types: str) -> Layout:
    return Layout(
        tuple((f"k{place}", kind) for place, kind in enumerate(types)), (Field("f", "int64"),)
    )


def key(layout: Layout, *values: object) -> bytes:
    return entity_key(layout, dict(zip((name for name, _ in layout.keys), values, strict=True)))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "JFK", b"JFK"),
        ("string", "", b"%"),
        ("string", "%", b"%25"),
        ("string", "a:{b} c\0\n/é-_.~", b"a%3A%7Bb%7D%20c%00%0A%2F%C3%A9-_.~"),
        ("int64", -(2**63), b"-9223372036854775808"),
        ("int64", 2**53 + 1, b"9007199254740993"),
        ("bool", True, b"true"),
        ("bool", False, b"false"),
        ("date", date(13, 1, 2), b"0013-01-02"),
        ("timestamp", datetime(1970, 1, 1, 0, 0, 1, 5, UTC), b"1000005"),
        ("timestamp", datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), b"0"),
        ("timestamp", datetime(1969, 12, 31, tzinfo=UTC), b"-86400000000"),
        ("timestamp", datetime.fromisoformat("1970-01-01T00:00:00.000007"), b"7"),  # naive: UTC
        ("binary", b"\x00\xff", b"00ff"),
        ("binary", b"", b"%"),
        ("decimal(5,2)", Decimal("1.5"), b"1.50"),
        ("decimal(5,2)", Decimal("-0.00"), b"0.00"),
        ("decimal(5,2)", Decimal("1E+2"), b"100.00"),
        ("decimal(5,2)", 7, b"7.00"),
        ("decimal(38,0)", Decimal(10**38 - 1), b"9" * 38),
        ("decimal(38,38)", Decimal(1).scaleb(-38), b"0." + b"0" * 37 + b"1"),
    ],
)
def test_every_type_has_one_spelling(kind, value, expected):
    assert key(layout(kind), value) == expected


@st.composite
def two_entities(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    rows = st.tuples(*(VALUES[kind] for kind in kinds))
    return layout(*kinds), draw(rows), draw(rows)


@given(two_entities())
def test_different_entities_never_share_a_key(drawn):
    chosen, one, other = drawn
    assert (key(chosen, *one) == key(chosen, *other)) == (one == other)


@given(st.text(":%{}a", max_size=3), st.text(":%{}a", max_size=3), st.text(":%{}a", max_size=3))
def test_parts_never_run_into_each_other(a, b, c):
    assert len({key(TEXT, a, b), key(TEXT, b, c), key(TEXT, a, c)}) == len({(a, b), (b, c), (a, c)})


@given(two_entities())
def test_a_key_is_printable_and_holds_no_separator(drawn):
    chosen, one, _ = drawn
    written = key(chosen, *one)
    assert written.isascii()
    assert written.decode().isprintable()
    assert not set(b"{} \n") & set(written)
    assert written.count(b":") == len(one) - 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int64", "5"),
        ("int64", "five"),
        ("int64", 5.0),
        ("int64", True),
        ("int64", 2**63),
        ("string", 5),
        ("string", b"JFK"),
        ("string", "\ud800"),
        ("bool", 1),
        ("bool", "true"),
        ("date", datetime(2013, 1, 1, tzinfo=UTC)),
        ("date", "2013-01-01"),
        ("timestamp", date(2013, 1, 1)),
        ("timestamp", 5),
        ("binary", "00"),
        ("binary", 3),
        ("decimal(5,2)", Decimal("1.234")),
        ("decimal(5,2)", Decimal("1000.00")),
        ("decimal(5,2)", Decimal("NaN")),
        ("decimal(5,2)", Decimal("Infinity")),
        ("decimal(5,2)", 1.5),
        ("decimal(5,2)", False),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(kind, value):
    with pytest.raises(PlaneError, match=r"key 'k0' is of type") as raised:
        key(layout(kind), value)
    assert raised.value.hint


def test_a_null_or_absent_part_is_refused_by_name():
    with pytest.raises(PlaneError, match="key 'b' is absent or null"):
        key(TEXT, "x", None)
    with pytest.raises(PlaneError, match="key 'b' is absent or null"):
        entity_key(TEXT, {"a": "x"})


@pytest.mark.parametrize("kind", ["float64", "array<int64>"])
def test_a_key_without_one_spelling_is_refused(kind):
    with pytest.raises(PlaneError, match=f"key 'k0' is of type {kind}"):
        layout(kind)


def test_a_layout_needs_keys_and_features():
    with pytest.raises(PlaneError, match="at least one key"):
        Layout((), (Field("f", "int64"),))
    with pytest.raises(PlaneError, match="at least one key"):
        Layout((("k", "int64"),), ())


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("string", "JFK", "JFK"),
        ("string", "", ""),
        ("int64", "-12", -12),
        ("bool", "true", True),
        ("date", "2013-01-31", date(2013, 1, 31)),
        ("timestamp", "2013-01-31T06:00:00Z", datetime(2013, 1, 31, 6, tzinfo=UTC)),
        ("binary", "00ff", b"\x00\xff"),
        ("decimal(5,2)", "1.5", Decimal("1.5")),
    ],
)
def test_text_becomes_typed_keys(kind, text, expected):
    parsed = parse_key_text(layout(kind), {"k0": text})
    assert parsed == {"k0": expected}
    assert type(parsed["k0"]) is type(expected)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int64", "JFK"),
        ("int64", "5.0"),
        ("int64", "1_000"),
        ("int64", "٣"),
        ("int64", str(2**63)),
        ("bool", "yes"),
        ("date", "31.1.2013"),
        ("timestamp", "noon"),
        ("binary", "xyz"),
        ("decimal(5,2)", "1.234"),
        ("decimal(5,2)", "much"),
    ],
)
def test_text_of_another_type_is_refused_by_name(kind, text):
    with pytest.raises(PlaneError, match="key 'k0' is of type"):
        parse_key_text(layout(kind), {"k0": text})


def test_text_needs_the_right_names():
    with pytest.raises(PlaneError, match="key 'origin' is unknown") as raised:
        parse_key_text(TEXT, {"a": "x", "b": "y", "origin": "JFK"})
    assert raised.value.hint == "the keys are: a, b"
    with pytest.raises(PlaneError, match="key 'b' is absent"):
        parse_key_text(TEXT, {"a": "x"})


def test_all_views_of_an_entity_lie_in_one_slot_of_a_cluster():
    entity = {"a": "JFK}", "b": ""}
    delays = online_key(naming.online_prefix("shop.prod", "delays", "a1"), TEXT, entity)
    weather = online_key(naming.online_prefix("shop.prod", "weather", "b2"), TEXT, entity)
    assert delays == b"shop.prod:delays:a1:{JFK%7D:%}"
    assert key_slot(delays) == key_slot(weather) == key_slot(entity_key(TEXT, entity))
