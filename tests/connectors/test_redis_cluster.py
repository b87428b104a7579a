"""The Redis connector on a real cluster of three masters and their replicas, while slots move and
masters die."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from connectors.redis import async_store as redis_async
from connectors.redis.cluster import slots
from connectors.redis.store import connect
from controlplane.base.ports import OnlineStore, Rights, RightsProbe, WriteCount
from controlplane.errors import PermanentError, SettingsError, TransientError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.cluster_rig import Node, Nodes
from tests.connectors.processes import free_port, until

COUNT, SIZE = 10_000, 500


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    with ExitStack() as undo:
        yield Nodes(tmp_path_factory.mktemp("cluster"), undo)


@pytest.fixture
def store(nodes: Nodes) -> Iterator[OnlineStore]:
    nodes.empty_all()
    opened: OnlineStore = connect(url=nodes.url, cluster=True)
    yield opened
    opened.close()


def key(number: int) -> bytes:
    return b"k:{%d}" % number


def numbered(version: int, count: int = COUNT) -> Iterator[pa.RecordBatch]:
    for start in range(0, count, SIZE):
        yield as_batch(Record(key(n), value(version, n)) for n in range(start, start + SIZE))


def wrong(store: OnlineStore, version: int, count: int = COUNT) -> int:
    """How many records are not as `numbered` wrote them."""
    found = store.read([key(n) for n in range(count)])
    return sum(one != value(version, n) for n, one in enumerate(found))


@settings(max_examples=40)
@given(
    keys=st.lists(
        st.binary(max_size=40) | st.lists(st.sampled_from([b"{", b"}", b"a", b"bc"])).map(b"".join)
    ),
    start=st.integers(0, 3),
)
def test_a_slot_is_what_the_driver_says(keys, start):
    array = pa.array(keys, pa.binary()).slice(start)
    assert slots(array).tolist() == [key_slot(each) for each in keys[start:]]


def test_long_keys_have_slots_too():
    keys = [b"x" * 5_000 + b"{" + b"a" * length + b"}" for length in range(0, 3_000, 501)]
    assert slots(pa.array(keys, pa.binary())).tolist() == [key_slot(each) for each in keys]


@pytest.mark.parametrize("compare", [True, False])
def test_what_is_written_is_read_from_its_node(nodes, store, compare):
    writer = connect(url=nodes.url, cluster=True, compare_and_set=compare)
    assert writer.write(numbered(2)) == WriteCount(written=COUNT)
    writer.close()
    assert wrong(store, 2) == 0
    assert all(node.client.dbsize() > COUNT / 4 for node in nodes.masters)
    assert store.read([key(1), b"none", key(1)]) == [value(2, 1), None, value(2, 1)]
    assert store.read([b"a:{1}", key(1), b"b:{1}"]) == [None, value(2, 1), None]  # one slot
    assert store.read([]) == []


def test_what_a_user_lacks_on_one_master_is_told(nodes):
    """With the commands that the driver needs of a cluster; the lack is named once."""
    commands = ["+command", "+cluster|slots", "+asking", "+@read", "+@write", "+@scripting"]
    commands += ["+info", "+time"]
    for node in nodes.serving():
        node.client.acl_setuser(
            "plane", enabled=True, reset=True, passwords=["+pw"], keys=["k:*"], commands=commands
        )
    limited = connect(url=nodes.url, cluster=True, username="plane", password="pw")
    assert isinstance(limited, RightsProbe)
    assert limited.rights(b"k:") == Rights("plane", (), ())
    assert limited.rights(b"other:") == Rights("plane", ("~other:*",), ())
    for node in nodes.masters[:2]:
        node.client.acl_setuser("plane", enabled=True, commands=["-evalsha", "-unlink"])
    assert limited.rights(b"k:") == Rights("plane", ("+evalsha", "+unlink"), ())
    limited.close()


def test_older_values_stay_out_of_each_node(store):
    store.write(numbered(5, 2_000))
    newer = as_batch(Record(key(n), value(6, n)) for n in range(0, 4_000, 2))
    assert store.write([newer]) == WriteCount(written=2_000)
    assert store.write(numbered(5, 4_000)) == WriteCount(written=2_000, kept_newer=2_000)


def test_keys_fields_and_facts_are_of_all_masters(nodes, store):
    store.write(numbered(1, 3_000))
    store.write([as_batch([Record(b"other:{1}", value(1, 1))])])
    found = [one for some in store.keys(b"k:") for one in some]
    assert sorted(found) == sorted(key(n) for n in range(3_000))
    assert store.remove([*found[:2_000], b"none:{1}"]) == 2_000
    assert sum(node.client.dbsize() for node in nodes.masters) == 1_001
    later = int(time.time() * 1000) + 60_000
    store.write([as_batch([Record(key(n), value(2, n), later + n) for n in range(3_000, 3_010)])])
    assert store.expiries([key(n) for n in range(2_995, 3_010)]) == [
        *[None] * 5,
        *[pytest.approx(later + n, abs=1_000) for n in range(3_000, 3_010)],
    ]
    store.set_fields(b"h", {b"a": b"1", b"b": b"2"})
    assert store.get_fields(b"h") == {b"a": b"1", b"b": b"2"}
    assert store.get_fields(b"none") == {}
    assert [store.set_fields(b"once", {b"a": value}, {b"a": None}) for value in (b"1", b"2")] == [
        True,
        False,
    ]
    assert store.get_fields(b"once") == {b"a": b"1"}
    one = nodes.masters[2].client
    one.config_set("maxmemory-policy", "allkeys-lru")
    try:
        info = store.info()
    finally:
        one.config_set("maxmemory-policy", "noeviction")
    assert (info.eviction_policy, info.max_memory) == ("allkeys-lru", 0)
    assert (
        info.used_memory
        > sum(node.client.info("memory")["used_memory"] for node in nodes.masters) / 2
    )
    assert info.details["mode"] == "cluster"
    assert info.details["place"].endswith("(Cluster)")


def move(
    slot: int, source: Node, target: Node, others: list[Node], *, during: threading.Event
) -> None:
    """Move a slot with all its keys; it is on its way until `during` is set."""
    target.ask("SETSLOT", slot, "IMPORTING", source.id)
    source.ask("SETSLOT", slot, "MIGRATING", target.id)
    while keys := source.ask("GETKEYSINSLOT", slot, 100):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys
        )
    during.wait(10)
    while keys := source.ask("GETKEYSINSLOT", slot, 100):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys
        )
    for node in (target, source, *others):
        node.ask("SETSLOT", slot, "NODE", target.id)


def test_slots_that_move_on_the_way_lose_no_record(nodes, store):
    first, second, third = nodes.masters
    taken = [(key_slot(key(n)), n) for n in range(200)]
    ways = [
        *[(slot, first, second) for slot, _ in taken if slot < 5461][:10],
        # Which no client knows yet.
        *[(slot, third, nodes.empty) for slot, _ in taken if slot >= 10923][:10],
    ]
    store.write(numbered(1))
    assert wrong(store, 1) == 0
    arrived = threading.Event()
    movers = [
        threading.Thread(
            target=move,
            args=(
                slot,
                source,
                target,
                [n for n in (*nodes.masters, nodes.empty) if n not in (source, target)],
            ),
            kwargs={"during": arrived},
        )
        for slot, source, target in ways
    ]

    def batches() -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(numbered(2)):
            if place == 3:
                for mover in movers:
                    mover.start()
                until(lambda: first.moving() + third.moving() == len(ways))
            if place == COUNT // SIZE - 3:
                # Read while some slots are nowhere as a whole.
                assert sum(one is None for one in store.read([key(n) for n in range(COUNT)])) == 0
                arrived.set()
            yield batch

    count = store.write(batches())
    for mover in movers:
        mover.join()
    assert count == WriteCount(written=COUNT)
    assert wrong(store, 2) == 0
    assert store.write(numbered(3)) == WriteCount(written=COUNT)
    assert wrong(store, 3) == 0
    assert nodes.empty.client.dbsize() > 0


def test_a_master_that_dies_on_the_way_loses_no_record(nodes, store):
    writer = connect(url=nodes.url, cluster=True, patience_seconds=60)
    store.write(numbered(1))
    master, replica = nodes.masters[0], nodes.replicas[0]
    epoch = store.info().epoch
    assert store.info().epoch == epoch

    def caught_up() -> bool:
        ours, theirs = (
            node.client.info("replication")["master_repl_offset"] for node in (master, replica)
        )
        return bool(ours == theirs)

    def batches() -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(numbered(2)):
            if place == COUNT // SIZE // 2:
                # What the old master alone has is lost with it: replication is asynchronous.
                until(caught_up)
                master.process.kill()
            yield batch

    assert writer.write(batches()) == WriteCount(written=COUNT)
    writer.close()
    assert replica.client.info("replication")["role"] == "master"
    assert wrong(store, 2) == 0  # by a client that still knew the old master
    assert store.info().epoch != epoch


def test_what_is_no_cluster_is_told(nodes, valkey_url):
    single = connect(url=valkey_url, cluster=True)
    for act in (single.info, lambda: single.read([b"k"]), lambda: single.write(numbered(1, SIZE))):
        with pytest.raises(PermanentError, match="cluster support disabled") as raised:
            act()
        assert "leave `cluster` out" in raised.value.hint
    single.close()
    node = connect(url=nodes.url)
    with pytest.raises(PermanentError, match="MOVED") as raised:
        node.write(numbered(1, SIZE))
    assert "cluster = true" in raised.value.hint
    node.close()


@pytest.mark.parametrize("url", ["unix:///socket", "redis://localhost:1/3"])
def test_what_no_cluster_has_is_told(url):
    with pytest.raises(SettingsError, match="not a Redis URL"):
        connect(url=url, cluster=True)
    with pytest.raises(SettingsError, match="sentinels"):
        connect(url="redis://localhost", cluster=True, sentinels=["localhost"])


def test_a_cluster_that_is_away_is_transient():
    store = connect(
        url=f"redis://:top-secret@127.0.0.1:{free_port()}", cluster=True, patience_seconds=0.1
    )
    for act in (store.info, lambda: store.read([b"k"]), lambda: store.write(numbered(1, SIZE))):
        with pytest.raises(TransientError) as raised:
            act()
        assert "secret" not in str(raised.value)
    store.close()


def test_an_event_loop_reads_all_nodes(store, nodes):
    store.write(numbered(1, SIZE))

    async def read() -> list[bytes | None]:
        reader = redis_async.connect(url=nodes.url, cluster=True)
        try:
            return await reader.read([key(n) for n in range(SIZE)])
        finally:
            await reader.close()

    assert asyncio.run(read()) == [value(1, n) for n in range(SIZE)]
