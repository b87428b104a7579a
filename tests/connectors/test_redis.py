"""The Redis connector, against a real server: values, order of writers, expiry, fields and keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from connectors.redis.store import RedisStore, connect
from controlplane import codec
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, WriteCount
from controlplane.errors import PermanentError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.redis_rig import write

WEEK_MS = 7 * 86_400_000
MANY = 1005
INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture
def store(valkey_url: str, raw: redis.Redis) -> Iterator[OnlineStore]:
    opened: OnlineStore = connect(url=valkey_url)
    yield opened
    opened.close()


def now_ms(raw: redis.Redis) -> int:
    seconds, micros = raw.time()
    return seconds * 1000 + micros // 1000


def expiry_ms(raw: redis.Redis, key: bytes) -> int | None:
    """When a key expires; not by PEXPIRETIME, which Redis 6.2 lacks."""
    left = raw.pttl(key)
    return None if left == -1 else now_ms(raw) + left


def about(milliseconds: int) -> object:
    return pytest.approx(milliseconds, abs=20)


def test_what_is_written_is_read(store):
    records = [Record(b"a:{\0%d}" % n, value(1, n, "x", None)) for n in range(2 * MANY)]
    assert store.write(map(as_batch, [records[:5], [], records[5:]])) == WriteCount(
        written=len(records)
    )
    assert store.read([record.key for record in records]) == [record.value for record in records]
    assert store.read([b"none", records[0].key, b"none"]) == [None, records[0].value, None]
    assert store.read([]) == []
    assert store.write([]) == WriteCount()


@pytest.mark.parametrize("width", [1, 13, 14, 300])
@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (5, 4, False),
        (5, 5, True),
        (5, 6, True),
        (2**53, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**63 - 1, 2**63 - 2, False),
        (-1, 0, True),
        (0, -1, False),
        (-(2**63), -(2**63) + 1, True),
        (2**32, 1, False),
        (255, 256, True),
    ],
)
def test_a_newer_or_equal_version_overwrites(store, raw, width, first, second, kept):
    raw.flushall()
    one, two = value(first, *[1] * width), value(second, *[2] * width)
    assert write(store, Record(b"k", one)) == WriteCount(written=1)
    assert write(store, Record(b"k", two)) == WriteCount(
        written=int(kept), kept_newer=int(not kept)
    )
    assert store.read([b"k"]) == [two if kept else one]


WRITES = st.lists(
    st.tuples(
        st.sampled_from([b"p:{a}", b"p:{b}"]),
        st.integers(0, 4) | INT64,
        st.integers(0, 20),  # features: short and long headers; none is a tombstone
        st.sampled_from([None, 4_000_000_000_000]),
    ),
    min_size=1,
    max_size=12,
)


@given(writes=WRITES, cut=st.integers(1, 12))
def test_in_any_order_the_newest_version_stays(valkey_url, writes, cut):
    with redis.Redis.from_url(valkey_url) as raw:
        raw.flushall()
    store = connect(url=valkey_url)
    records = [
        Record(key, value(version, *[place] * count), expiry)
        for place, (key, version, count, expiry) in enumerate(writes)
    ]
    expected: dict[bytes, tuple[int, bytes]] = {}
    stored = 0
    for (key, version, _, _), record in zip(writes, records, strict=True):
        if key not in expected or version >= expected[key][0]:
            expected[key] = version, record.value
            stored += 1
    count = store.write(
        as_batch(records[start : start + cut]) for start in range(0, len(records), cut)
    )
    assert count == WriteCount(stored, len(records) - stored)
    assert dict(zip(expected, store.read(list(expected)), strict=True)) == {
        k: v for k, (_, v) in expected.items()
    }
    store.close()


def test_concurrent_writers_leave_the_newest(valkey_url, raw):
    keys = [b"k:{%d}" % n for n in range(50)]

    def run(versions: list[int]) -> None:
        store = connect(url=valkey_url)
        store.write(
            as_batch(Record(key, value(version, version)) for key in keys) for version in versions
        )
        store.close()

    threads = [
        threading.Thread(target=run, args=(list(range(start, 200, 4)),)) for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raw.mget(keys) == [value(199, 199)] * len(keys)


def test_an_older_write_does_not_raise_the_dead(store):
    gone = codec.tombstone(10, 5)
    assert (
        write(
            store, Record(b"k", value(9, 1)), Record(b"k", gone), Record(b"k", value(9, 1))
        ).kept_newer
        == 1
    )
    assert store.read([b"k"]) == [gone]
    write(store, Record(b"k", value(11, 1)))
    assert store.read([b"k"]) == [value(11, 1)]


def test_a_record_expires_when_it_says(store, raw):
    later = now_ms(raw) + 60_000
    write(store, Record(b"ttl", value(1, 1), later), Record(b"ever", value(1, 1)))
    assert (expiry_ms(raw, b"ttl"), expiry_ms(raw, b"ever")) == (about(later), None)
    write(store, Record(b"ttl", value(2, 1)), Record(b"ever", value(2, 1), later))
    assert (expiry_ms(raw, b"ttl"), expiry_ms(raw, b"ever")) == (None, about(later))
    write(store, Record(b"ttl", value(1, 1), later))  # kept out: the expiry stays, too
    assert expiry_ms(raw, b"ttl") is None


def test_a_record_is_gone_when_it_has_expired(store, raw):
    write(store, Record(b"soon", value(1, 1), now_ms(raw) + 150))
    assert store.read([b"soon"]) == [value(1, 1)]
    time.sleep(0.2)
    assert store.read([b"soon"]) == [None]


@pytest.mark.parametrize("width", [1, 20])
@pytest.mark.parametrize("expiry", [0, -5, 1_000, "now"])
def test_a_record_that_has_expired_already_keeps_older_writers_out(store, raw, width, expiry):
    before = now_ms(raw)
    late = value(10, *[1] * width, since=7)
    assert write(store, Record(b"k", late, before if expiry == "now" else expiry)) == WriteCount(
        written=1
    )
    assert store.read([b"k"]) == [codec.tombstone(10, 7)]
    assert expiry_ms(raw, b"k") == pytest.approx(before + WEEK_MS, abs=1000)
    assert write(store, Record(b"k", value(9, 1))) == WriteCount(kept_newer=1)
    assert write(store, Record(b"k", value(10, 1))) == WriteCount(written=1)
    assert (store.read([b"k"]), expiry_ms(raw, b"k")) == ([value(10, 1)], None)


@pytest.mark.parametrize("damage", [b"x", b"\x92", b"\xdc\0\x10", b"\xd3" * 5, b"\x93\xd3\0\0"])
def test_a_damaged_value_is_replaced(store, raw, damage):
    raw.set(b"k", damage)
    assert write(store, Record(b"k", value(-5, 1))).written == 1
    assert store.read([b"k"]) == [value(-5, 1)]


def test_a_key_of_another_kind_is_an_error(store, raw):
    raw.lpush(b"k", b"x")
    with pytest.raises(PermanentError, match=r"1 of 2 records failed.*wrong kind of value"):
        write(store, Record(b"k", value(1, 1)), Record(b"other", value(1, 1)))
    assert store.read([b"other"]) == [value(1, 1)]


def test_a_forgotten_script_is_loaded_again(store, raw):
    def batches() -> Iterator[pa.RecordBatch]:
        for version in range(3):
            yield as_batch(Record(b"k:{%d}" % n, value(version, n)) for n in range(MANY))
            raw.script_flush()

    assert store.write(batches()) == WriteCount(written=3 * (MANY))
    assert raw.mget([b"k:{0}", b"k:{1004}"]) == [value(2, 0), value(2, 1004)]


def test_without_comparing_the_last_writer_wins(valkey_url, raw):
    store = connect(url=valkey_url, compare_and_set=False)
    soon = now_ms(raw) + 60_000
    assert write(store, Record(b"a", value(9, 1)), Record(b"b", value(9, 1), soon)) == WriteCount(
        written=2
    )
    assert (
        write(
            store, Record(b"a", value(8, 2), soon), Record(b"b", value(8, 2)), Record(b"c", b"", -5)
        ).written
        == 3
    )
    assert raw.mget(b"a", b"b", b"c") == [value(8, 2), value(8, 2), None]
    assert (expiry_ms(raw, b"a"), expiry_ms(raw, b"b")) == (about(soon), None)
    store.close()


@pytest.mark.parametrize("sizes", [[50] * 5, [250], [1, 249]], ids=str)
@pytest.mark.parametrize("compare", [True, False])
def test_a_rate_is_kept(valkey_url, raw, sizes, compare):
    store = connect(url=valkey_url, compare_and_set=compare, max_rows_per_second=1000)
    records = iter([Record(b"k:{%d}" % n, value(1, n)) for n in range(250)])
    started = time.monotonic()
    count = store.write(as_batch(list(islice(records, size))) for size in sizes)
    assert time.monotonic() - started > 0.19
    assert count == WriteCount(written=250)
    assert raw.mget([b"k:{%d}" % n for n in range(250)]) == [value(1, n) for n in range(250)]
    store.close()


@pytest.mark.parametrize("compare", [True, False])
@pytest.mark.parametrize("length", [0, 2047, 2048, 100_000])
def test_values_and_keys_of_any_length(valkey_url, raw, compare, length):
    store = connect(url=valkey_url, compare_and_set=compare)
    records = [
        Record(b"\r\n$%d" % n + b"k" * length, value(1, "\r\n:0\r\n-" * n + "x" * length))
        for n in range(3)
    ]
    assert write(store, *records).written == 3
    assert raw.mget([record.key for record in records]) == [record.value for record in records]
    store.close()


def test_small_hashes(store, raw):
    assert store.get_fields(b"h") == {}
    store.set_fields(b"h", {b"a": b"1", b"b": b"\0"})
    store.set_fields(b"h", {b"b": b"2"})
    store.set_fields(b"h", {})
    assert store.get_fields(b"h") == {b"a": b"1", b"b": b"2"}
    for changed, expected in (
        (False, {b"a": b"2"}),
        (False, {b"a": None}),
        (False, {b"c": b""}),
        (False, {b"a": b"1", b"c": None, b"b": b"1"}),
        (True, {b"a": b"1", b"c": None, b"b": b"2"}),
        (False, {b"c": None}),
        (True, {}),
    ):
        before = store.get_fields(b"h")
        new = {b"b": b"3", b"c": b"\0"}
        assert store.set_fields(b"h", new, expected) == changed, expected
        assert store.get_fields(b"h") == (before | new if changed else before), expected


def test_keys_are_found_by_their_beginning_alone_and_removed(store, raw):
    names = {b"a[1]*:{%d}" % n for n in range(2 * MANY)}
    others = {b"a1x:{1}", b"a[1]*", b"b:{1}"}
    for name in names | others:
        raw.set(name, b"x")
    raw.hset("a[1]*:hash", "x", "y")
    found = [key for some in store.keys(b"a[1]*:") for key in some]
    assert set(found) == names | {b"a[1]*:hash"}
    assert store.remove([]) == 0
    assert store.remove([*found, b"a[1]*:{none}"]) == len(names) + 1
    assert list(store.keys(b"a[1]*:")) == []
    assert set(raw.keys()) >= others


def test_a_key_tells_when_it_expires(store, raw):
    later = now_ms(raw) + 3_600_000
    write(store, Record(b"ttl", value(1, 1), later), Record(b"ever", value(1, 1)))
    assert store.expiries([b"ever", b"ttl", b"none"]) == [None, about(later), None]
    assert store.expiries([]) == []


def test_projects_do_not_touch_each_other(store, raw):
    layout = codec.Layout((("k", "string"),), (codec.Field("f", "int64"),))
    places = [("shop", "prod"), ("petshop", "prod"), ("shop", "dev"), ("shop", "prod2")]
    names = [naming.namespace(*place) for place in places]
    keys = [
        codec.online_key(naming.online_prefix(name, "v", "f1"), layout, {"k": "JFK"})
        for name in names
    ]
    for version, (name, key) in enumerate(zip(names, keys, strict=True), start=1):
        write(store, Record(key, value(version, version)))
        store.set_fields(naming.serving_hash(name), {b"v": b"%d" % version})
        store.set_fields(naming.cursor_hash(name, "v", "f1"), {b"version": b"%d" % version})
    assert raw.dbsize() == 3 * len(places)
    raw.delete(*raw.keys("shop.prod:*"))  # all that belongs to one project and environment
    assert store.read(keys) == [None, value(2, 2), value(3, 3), value(4, 4)]
    assert store.get_fields(naming.serving_hash("petshop.prod")) == {b"v": b"2"}


def test_connecting_waits_for_the_first_call():
    assert isinstance(connect(url="redis://127.0.0.1:1"), RedisStore)
