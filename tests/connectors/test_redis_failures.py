"""Writes that something breaks on the way: sent again until every record is there, or a clear
error."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa
import pytest
import redis

from connectors.redis.store import connect
from controlplane.errors import PermanentError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.processes import answers, free_port, spawn, until


def numbered(count: int, version: int, size: int = 500) -> Iterator[pa.RecordBatch]:
    for start in range(0, count, size):
        yield as_batch(Record(b"k:{%d}" % n, value(version, n)) for n in range(start, start + size))


def missing(client: redis.Redis, count: int, version: int) -> int:
    """How many records are not as `numbered` wrote them."""
    found = client.mget([b"k:{%d}" % n for n in range(count)])
    return sum(one != value(version, n) for n, one in enumerate(found))


@pytest.mark.parametrize("compare", [True, False])
def test_connections_that_break_on_the_way_lose_no_record(own_url, own_raw, compare):
    store = connect(url=own_url, compare_and_set=compare)

    def batches() -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(numbered(20_000, 2)):
            if place % 7 == 3:
                own_raw.client_kill_filter(_type="normal", skipme=True)
            yield batch

    assert store.write(batches()).written == 20_000
    assert missing(own_raw, 20_000, 2) == 0
    store.close()


@pytest.mark.parametrize("compare", [True, False])
def test_a_server_that_restarts_on_the_way_gets_all_records(own_server, own_url, own_raw, compare):
    store = connect(url=own_url, compare_and_set=compare)

    def batches() -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(numbered(10_000, 2)):
            if place in (5, 12):
                own_raw.config_set("appendfsync", "always")
                own_server.stop()
                own_server.start()
            yield batch

    assert store.write(batches()).written == 10_000
    assert missing(own_raw, 10_000, 2) == 0
    store.close()


def test_a_server_that_is_read_only_for_a_while_gets_all_records(own_url, own_raw):
    store = connect(url=own_url)
    promoted = threading.Timer(0.5, own_raw.replicaof, ["NO", "ONE"])

    def batches() -> Iterator[pa.RecordBatch]:
        for place, batch in enumerate(numbered(5_000, 2)):
            if place == 4:
                own_raw.replicaof("127.0.0.1", "1")
                promoted.start()
            yield batch

    assert store.write(batches()).written == 5_000
    promoted.join()
    assert missing(own_raw, 5_000, 2) == 0
    store.close()


def test_a_server_that_loads_its_values_for_a_while_gets_all_records(tmp_path):
    port = free_port()
    durable = ("--appendonly", "yes", "--save", "")
    slow = ("--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
    with ExitStack() as undo:
        first = spawn(tmp_path, undo, port, *durable)
        raw = answers(port)
        store = connect(url=f"redis://127.0.0.1:{port}")
        loading = []

        def batches() -> Iterator[pa.RecordBatch]:
            yield from numbered(5_000, 1)
            until(lambda: raw.dbsize() == 5_000)
            first.kill()
            first.wait()
            spawn(tmp_path, undo, port, *durable, *slow)
            until(lambda: says_that_it_loads(port))
            loading.append(True)
            yield from numbered(5_000, 2)

        assert store.write(batches()).written == 10_000
        assert loading
        assert missing(raw, 5_000, 2) == 0
        store.close()
        raw.close()


def says_that_it_loads(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET k\r\n")
            return connection.recv(100).startswith(b"-LOADING")
    except OSError:
        return False


def test_users_with_the_rights_of_a_writer_write(own_url, own_raw):
    commands = ["+evalsha", "+script|load", "+mget", "+set", "+time", "+info"]
    own_raw.acl_setuser("writer", enabled=True, passwords=["+pw"], keys=["k:*"], commands=commands)
    store = connect(url=own_url, username="writer", password="pw")
    assert store.write(numbered(1_000, 1)).written == 1_000
    with pytest.raises(PermanentError, match="permission"):
        store.write([as_batch([Record(b"other", value(1, 1))])])
    store.close()
