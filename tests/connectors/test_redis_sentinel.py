"""Writing through a failover: a master, its replica and a sentinel, as real processes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
import redis

from connectors import redis_async
from connectors.redis import connect
from controlplane.errors import SettingsError, TransientError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.processes import answers, free_port, spawn, until

COUNT = 20_000


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], redis.Redis]]:
    """The sentinel's place, the master's process, and the replica."""
    master, replica, sentinel = free_port(), free_port(), free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor features 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds features 500\nsentinel failover-timeout features 3000\n"
    )
    with ExitStack() as undo:
        process = spawn(tmp_path, undo, master, "--save", "")
        undo.callback(answers(master).close)
        spawn(
            tmp_path,
            undo,
            replica,
            "--save",
            "",
            "--replicaof",
            f"127.0.0.1 {master}",
            "--repl-diskless-sync-delay",
            "0",
        )
        client = answers(replica)
        undo.callback(client.close)
        until(lambda: client.info("replication").get("master_link_status") == "up")
        spawn(tmp_path, undo, sentinel, str(config), "--sentinel")
        with answers(sentinel) as watcher:
            until(lambda: len(watcher.execute_command("SENTINEL REPLICAS", "features")) == 1)
        yield f"127.0.0.1:{sentinel}", process, client


def test_a_failover_on_the_way_loses_no_record(watched):
    sentinel, master, replica = watched
    store = connect(url="redis://features/0", sentinels=[sentinel], patience_seconds=60)
    assert store.info().details["place"] == "features (Sentinel)/0"
    epoch = store.info().epoch

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, COUNT, 1000):
            if start == COUNT // 2:
                # What the old master alone has is lost with it: replication is asynchronous.
                until(lambda: replica.dbsize() >= COUNT // 2 - 3000)
                master.kill()
            yield as_batch(Record(b"k:{%d}" % n, value(1, n)) for n in range(start, start + 1000))

    assert store.write(batches()).written == COUNT
    assert replica.info("replication")["role"] == "master"
    assert store.info().epoch != epoch
    later = range(COUNT // 2, COUNT)
    assert store.read([b"k:{%d}" % n for n in later]) == [value(1, n) for n in later]
    store.close()

    async def read() -> list[bytes | None]:
        reader = redis_async.connect(url="redis://features/0", sentinels=[sentinel])
        try:
            async with asyncio.timeout(60):
                while True:
                    try:
                        return await reader.read([b"k:{%d}" % later[0]])
                    except TransientError:  # it does not wait: whoever reads asks again
                        await asyncio.sleep(0.1)
        finally:
            await reader.close()

    assert asyncio.run(read()) == [value(1, later[0])]


def test_b10_a_master_that_hangs_is_left_for_its_replica(watched):
    """Case B10: it still accepts connections, and answers nothing."""
    sentinel, master, _ = watched
    store = connect(url="redis://features/0", sentinels=[sentinel])
    store.write([as_batch([Record(b"k", value(1, 1))])])
    store.close()

    async def read() -> float:
        reader = redis_async.connect(url="redis://features/0", sentinels=[sentinel], timeout_seconds=1.0)
        assert await reader.read([b"k"]) == [value(1, 1)]
        assert await reader.answering(0.5) == {"features (Sentinel)/0": True}
        master.send_signal(signal.SIGSTOP)
        slowest, begun = 0.0, time.monotonic()
        try:
            assert await reader.answering(0.2) == {"features (Sentinel)/0": False}
            async with asyncio.timeout(60):
                while True:
                    started = time.monotonic()
                    try:
                        assert await reader.read([b"k"]) == [value(1, 1)]
                        return slowest
                    except TransientError:
                        if started - begun > 1.5:
                            slowest = max(slowest, time.monotonic() - started)
                        await asyncio.sleep(0.05)
        finally:
            master.send_signal(signal.SIGCONT)
            await reader.close()

    assert asyncio.run(read()) < 1  # once it is known to hang, nobody waits for it


def test_a_sentinel_that_is_no_place_is_told():
    with pytest.raises(SettingsError):
        connect(url="redis://features", sentinels=["host:port"])
