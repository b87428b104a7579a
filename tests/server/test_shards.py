"""Case B10: a part of the online store hangs. The others answer as before, and the log stays
short."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest
from redis.crc import key_slot

from controlplane import AsyncFeatureClient, FeatureClient
from controlplane.base.naming import namespace, serving_hash
from controlplane.errors import TransientError
from controlplane.server.load import Measured, measure
from tests.connectors.cluster_rig import Nodes
from tests.server.rig import Server
from tests.servers import OpenServer
from tests.shop import Shop, until

PATH = "/v1/services/shop"
LIMIT_MS = 150.0
"""Below this, a busy machine may make more of a difference than what is tested. Whoever waits for
the shard that hangs waits for the budget of 500 ms."""


class Sharded(NamedTuple):
    """A project whose values are on three shards, one of which can hang."""

    shop: Shop
    pid: int
    """The process of the shard that has the serving hash, the worst one to lose."""
    address: str
    hung: list[int]
    """Users whose values are there."""
    others: list[int]
    """Users whose values are elsewhere."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ExitStack() as undo:
        yield Nodes(tmp_path_factory.mktemp("shards"), undo, alone=True)


@pytest.fixture
def sharded(make, nodes) -> Sharded:
    shop: Shop = make(online=nodes.url)
    shop.resettle(("patience_seconds = 1", "patience_seconds = 1, cluster = true"))
    shop.ready()
    bounds = [5461, 10923, 16384]

    def shard(key: bytes) -> int:
        return next(n for n, end in enumerate(bounds) if key_slot(key) < end)

    hung = shard(serving_hash(namespace(shop.name, "local")))
    users = {user: shard(b"{%d}" % user) for user in range(300)}
    return Sharded(
        shop,
        nodes.masters[hung].process.pid,
        f"127.0.0.1:{nodes.masters[hung].port}",
        [user for user, number in users.items() if number == hung],
        [user for user, number in users.items() if number != hung],
    )


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process hangs: its system accepts connections for it, and nothing answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def always(server: Server, user: int) -> Iterator[list[int]]:
    """Somebody asks for a user all the while, over several connections; the statuses that came."""
    found: list[int] = []
    over = threading.Event()

    def ask() -> None:
        connection = server.connect()
        while not over.is_set():
            found.append(
                server.post(PATH, {"entities": [{"user_id": user}]}, over=connection).status
            )
            time.sleep(0.01)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def asked(server: Server, users: list[int], seconds: float) -> Measured:
    return measure(
        server.url, "shop", [{"user_id": user} for user in users], concurrency=20, seconds=seconds
    )


def transitions(server: Server) -> list[str]:
    """What the log says beside the start and the end."""
    names = {"services_loaded", "worker_started", "versions_served"}
    return [event["event"] for event in server.events if event["event"] not in names]


def test_b10_the_other_shards_of_a_cluster_answer(sharded, serve):
    server = serve(sharded.shop, "--budget-ms", "500")
    asked(server, sharded.others, 1)
    quiet = asked(server, sharded.others, 2).percentile(0.99)
    both = {"entities": [{"user_id": user} for user in (sharded.hung[0], sharded.others[0])]}
    assert server.post(PATH, both).status == 200
    with stopped(sharded.pid):
        with always(server, sharded.hung[0]) as statuses:
            first = asked(server, sharded.others, 2)  # nobody knows yet that the shard hangs
            time.sleep(4)
            known = asked(server, sharded.others, 2)
            started = time.monotonic()
            ready = server.ask("GET", "/health/ready")
            assert time.monotonic() - started < 1
            assert ready.status == 200
            assert ready.json == {"status": "ready", "not_answering": [sharded.address]}
            assert server.post(PATH, both).status in {503, 504}
        for found in (first, known):
            assert set(found.codes) == {200}
            assert found.percentile(0.99) < max(2 * quiet, LIMIT_MS)
        assert set(statuses) == {503, 504}
        assert statuses[-20:].count(503) > 10  # once it is known, the answer comes at once
        assert len(transitions(server)) < 5, transitions(server)
        assert sharded.address in server.log
    until(lambda: server.post(PATH, both).status == 200)
    assert server.ask("GET", "/health/ready").json == {"status": "ready"}
    until(lambda: server.post(PATH, both).status == 200 and "store_recovered" in server.log)
    assert len(transitions(server)) < 8, transitions(server)


def test_b10_a_client_reads_the_other_shards(sharded):
    client = FeatureClient(sharded.shop.folder)
    assert client.get("shop", {"user_id": sharded.hung[0]})
    with stopped(sharded.pid):
        slowest = 0.0
        ends = time.monotonic() + 7  # longer than it is believed which versions are served
        for user in sharded.others * 100:
            started = time.monotonic()
            client.get("shop", {"user_id": user})
            slowest = max(slowest, time.monotonic() - started)
            if started > ends:
                break
            time.sleep(0.01)
        assert slowest < 1
    assert client.get("shop", [{"user_id": sharded.hung[0]}, {"user_id": sharded.others[0]}])
    client.close()


def test_b10_a_client_in_an_event_loop_reads_the_other_shards(sharded):
    async def read() -> float:
        slowest = 0.0
        async with AsyncFeatureClient(sharded.shop.folder) as client:
            await client.get("shop", {"user_id": sharded.hung[0]})
            with stopped(sharded.pid):
                waiting = asyncio.create_task(client.get("shop", {"user_id": sharded.hung[0]}))
                ends = time.monotonic() + 7
                for user in sharded.others * 100:
                    started = time.monotonic()
                    await client.get("shop", {"user_id": user})
                    slowest = max(slowest, time.monotonic() - started)
                    if started > ends:
                        break
                    await asyncio.sleep(0.01)
                with pytest.raises(TransientError, match=f"MGET on {sharded.address}: Timeout"):
                    await waiting
                started = time.monotonic()
                with pytest.raises(TransientError, match=f"MGET on {sharded.address}"):
                    await client.get(
                        "shop", [{"user_id": user} for user in (sharded.others[0], sharded.hung[0])]
                    )
                slowest = max(slowest, time.monotonic() - started)
            both = [{"user_id": user} for user in (sharded.others[0], sharded.hung[0])]
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert len(await client.get("shop", both)) == 2
                        break
                    except TransientError:  # the shard has not answered yet since it runs again
                        await asyncio.sleep(0.05)
        return slowest

    assert asyncio.run(read()) < 1


def test_b10_a_single_server_that_hangs_is_told_once(make, serve, tmp_path):
    store = OpenServer(tmp_path / "store")
    try:
        shop = make(online=store.start())
        shop.resettle(("patience_seconds = 1", "patience_seconds = 1, timeout_seconds = 1"))
        server = serve(shop.ready(), "--budget-ms", "300")
        with shop.client() as client:
            pid = int(client.info("server")["process_id"])
        with stopped(pid):
            with always(server, 1) as statuses:
                until(lambda: 503 in statuses)
                time.sleep(2)
                started = time.monotonic()
                ready = server.ask("GET", "/health/ready")
                assert time.monotonic() - started < 1
            assert (ready.status, ready.headers["retry-after"]) == (503, "1")
            assert "does not answer" in ready.json["error"]["message"]
            assert set(statuses) <= {503, 504}
            assert server.ask("GET", "/health/live").status == 200
            assert len(transitions(server)) < 4, transitions(server)
        until(lambda: server.post(PATH, {"entities": [{"user_id": 1}]}).status == 200)
        assert server.ask("GET", "/health/ready").json == {"status": "ready"}
    finally:
        store.stop()
