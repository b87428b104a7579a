"""What a Redis server says of itself, and what it refuses: each error says whether to try again."""

from __future__ import annotations

import socket

import pytest

from connectors.redis.store import connect
from controlplane.errors import PermanentError, TransientError
from tests.codec.rows import Record, value
from tests.connectors.redis_rig import write
from tests.servers import OpenServer


def test_info_tells_what_a_preflight_needs(own_url, own_raw):
    store = connect(url=own_url)
    info = store.info()
    assert (info.eviction_policy, info.max_memory, info.evicted_keys) == ("noeviction", 0, 0)
    assert info.used_memory > 0
    assert info.version[0].isdigit()
    assert info.details["product"] in ("Redis", "Valkey")
    assert info.details["place"] == own_url.removeprefix("redis://") + "/0"
    assert info.details["role"] == "master"
    own_raw.config_set("maxmemory", "5mb")
    own_raw.config_set("maxmemory-policy", "allkeys-lru")
    count = write(store, *(Record(b"k:{%d}" % n, value(1, "x" * 1000)) for n in range(8000)))
    info = store.info()
    assert (info.eviction_policy, info.max_memory) == ("allkeys-lru", 5 * 2**20)
    assert count.written == 8000  # no error is seen, and yet:
    assert info.evicted_keys > 0
    store.close()


def test_full_memory_is_permanent_and_says_so(own_url, own_raw):
    own_raw.config_set("maxmemory", "4mb")
    store = connect(url=own_url)
    with pytest.raises(PermanentError, match="used memory") as raised:
        write(store, *(Record(b"k:{%d}" % n, value(1, "x" * 1000)) for n in range(8000)))
    assert "maxmemory" in raised.value.hint
    assert "noeviction" in raised.value.hint
    store.close()


def test_a_wrong_password_is_permanent_and_stays_secret(own_url, own_raw):
    own_raw.config_set("requirepass", "right-secret")
    in_url = own_url.replace("redis://", "redis://:url-secret@")
    for store in (
        connect(url=own_url, password="arg-secret"),
        connect(url=in_url),
        connect(url=own_url),
    ):
        for act in (store.info, lambda store=store: write(store, Record(b"k", value(1, 1)))):
            with pytest.raises(PermanentError) as raised:
                act()
            assert "password" in raised.value.hint
            assert "secret" not in str(raised.value)
            assert raised.value.__cause__ is None
        store.close()
    store = connect(url=own_url, password="right-secret")
    assert write(store, Record(b"k", value(1, 1))).written == 1
    store.close()


def test_a_forbidden_command_is_permanent(own_url, own_raw):
    own_raw.acl_setuser(
        "reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+get", "+mget"]
    )
    store = connect(url=own_url, username="reader", password="pw")
    assert store.read([b"k"]) == [None]
    for act in (store.info, lambda: write(store, Record(b"k", value(1, 1)))):
        with pytest.raises(PermanentError, match="permission") as raised:
            act()
        assert "ACL" in raised.value.hint
    store.close()


def test_a_replica_is_transient(own_url, own_raw):
    own_raw.replicaof("127.0.0.1", "1")
    store = connect(url=own_url, patience_seconds=0.1)
    with pytest.raises(TransientError, match="read only replica"):
        write(store, Record(b"k", value(1, 1)))
    store.close()


def test_a_server_that_is_down_is_transient_until_it_is_back(own_server: OpenServer, own_url: str):
    store = connect(url=own_url, patience_seconds=0.1)
    write(store, Record(b"k", value(1, 1)))
    epoch = store.info().epoch
    assert store.info().epoch == epoch
    own_server.stop()
    for act in (
        store.info,
        lambda: store.read([b"k"]),
        lambda: write(store, Record(b"k", value(2, 2))),
    ):
        with pytest.raises(TransientError, match=r"127\.0\.0\.1") as raised:
            act()
        assert raised.value.hint
    assert own_server.start() == own_url
    assert store.info().epoch != epoch
    assert store.read([b"k"]) == [value(1, 1)]
    assert write(store, Record(b"k", value(2, 2))).written == 1
    store.close()


def test_a_server_that_does_not_answer_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = connect(url=f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.05)
        with pytest.raises(TransientError, match=r"[Tt]ime"):
            store.read([b"k"])
        store.close()
