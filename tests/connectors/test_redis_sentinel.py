"""Sentinels as real processes: a failover while values are written, and sentinels that ask who
asks."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import redis

from connectors.redis import async_store as redis_async
from connectors.redis.store import connect
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.processes import answers, free_port, spawn, until
from tests.connectors.tls import authority, issued, secured

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


@pytest.fixture
def master(tmp_path: Path) -> Iterator[int]:
    """The port of a master that sentinels watch."""
    port = free_port()
    with ExitStack() as undo:
        spawn(tmp_path, undo, port, "--save", "")
        undo.callback(answers(port).close)
        yield port


@pytest.fixture
def watching(tmp_path: Path, master: int) -> Iterator[Callable[..., int]]:
    """Starts sentinels with lines of configuration of their own; returns their ports."""
    with ExitStack() as undo:

        def start(*lines: str, name: str = "features") -> int:
            port = free_port()
            config = tmp_path / f"sentinel-{port}.conf"
            config.write_text(
                "\n".join([f"sentinel monitor {name} 127.0.0.1 {master} 1", *lines]) + "\n"
            )
            spawn(tmp_path, undo, port, str(config), "--sentinel")
            undo.callback(answers_somehow(port).close)
            return port

        yield start


def answers_somehow(port: int) -> redis.Redis:
    """Wait until a server says anything, be it that it wants a password."""
    client = redis.Redis(port=port, protocol=2)

    def says() -> bool:
        try:
            client.ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False
        return True

    until(says)
    return client


class Asked(NamedTuple):
    """What came of asking both connectors."""

    values: list[list[bytes | None]]
    errors: list[PlaneError]
    seconds: float


def asked(*ports: int, name: str = "features", **options: Any) -> Asked:
    """Read over sentinels, from threads and from an event loop."""
    url, sentinels = f"redis://{name}/0", [f"127.0.0.1:{port}" for port in ports]
    found = Asked([], [], 0.0)
    begun = time.monotonic()
    store = connect(url=url, sentinels=sentinels, **options)
    try:
        found.values.append(store.read([b"k"]))
    except PlaneError as error:
        found.errors.append(error)
    finally:
        store.close()

    async def read() -> list[bytes | None]:
        reader = redis_async.connect(url=url, sentinels=sentinels, **options)
        try:
            return await reader.read([b"k"])
        finally:
            await reader.close()

    try:
        found.values.append(asyncio.run(read()))
    except PlaneError as error:
        found.errors.append(error)
    return found._replace(seconds=time.monotonic() - begun)


USERS = (
    "user default off",
    "user watcher on >their-secret +sentinel|masters",
    "user stranger on >their-secret +ping",
)


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        (["requirepass their-secret"], {"sentinel_password": "their-secret"}),
        (USERS, {"sentinel_username": "watcher", "sentinel_password": "their-secret"}),
    ],
    ids=["password", "user"],
)
def test_b2_sentinels_with_credentials_of_their_own_name_the_master(watching, lines, options):
    """Case B2: theirs are not the master's, which has none here."""
    assert asked(watching(*lines), **options).values == [[None], [None]]


def test_b2_the_masters_password_is_not_sent_to_sentinels(watching, master):
    """Case B2: the other way round."""
    port = watching("sentinel auth-pass features the-masters")
    with redis.Redis(port=master) as client:
        client.config_set("requirepass", "the-masters")
    assert asked(port, password="the-masters").values == [[None], [None]]


@pytest.mark.parametrize(
    ("lines", "options", "said", "hint"),
    [
        (["requirepass their-secret"], {}, "it requires a password", "sentinel_password"),
        (
            ["requirepass their-secret"],
            {"sentinel_password": "wr0ng"},
            "it refuses the user or the password",
            "sentinel_password",
        ),
        (
            [],
            {"sentinel_password": "wr0ng"},
            "it requires no password",
            "leave `sentinel_password` out",
        ),
        (
            USERS,
            {"sentinel_username": "stranger", "sentinel_password": "their-secret"},
            "it refuses: ",
            "+sentinel|masters",
        ),
    ],
    ids=["missing", "wrong", "too many", "rights"],
)
def test_b2_refused_credentials_are_permanent_at_once_and_stay_secret(
    watching, lines, options, said, hint
):
    """Case B2: before, 28 seconds and a representation of the driver's client."""
    ports = [watching(*lines), watching(*lines)]
    found = asked(*ports, **options)
    assert [type(error) for error in found.errors] == [PermanentError, PermanentError]
    for error in found.errors:
        for port in ports:
            assert f"sentinel 127.0.0.1:{port}: {said}" in error.message
        assert hint in error.hint
        assert len(error.message) < 400
        assert not any(word in str(error) for word in ("wr0ng", "their-secret", "<redis"))
    assert found.seconds < 5


def test_b2_a_master_that_nobody_watches_is_permanent_and_names_those_that_are(watching):
    """Case B2: a wrong name in the URL."""
    port = watching(name="payments")
    found = asked(port)
    assert [type(error) for error in found.errors] == [PermanentError, PermanentError]
    assert (
        f"sentinel 127.0.0.1:{port}: it watches no master of this name (it watches: payments)"
        in str(found.errors[0])
    )


def test_b2_an_address_of_the_master_is_no_sentinel(master):
    """Case B2: the servers' own addresses in `sentinels`."""
    found = asked(master)
    assert [type(error) for error in found.errors] == [PermanentError, PermanentError]
    assert "it is not a sentinel" in found.errors[0].message


def test_b2_sentinels_that_are_away_are_named_soon_and_may_come_back(watching):
    """Case B2: one refuses connections, one does not answer, one is there."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        silent_port, closed_port = silent.getsockname()[1], closed.getsockname()[1]
        closed.close()
        found = asked(silent_port, closed_port)
        assert [type(error) for error in found.errors] == [TransientError, TransientError]
        for error in found.errors:
            assert f"sentinel 127.0.0.1:{silent_port}: Timeout" in error.message
            assert f"sentinel 127.0.0.1:{closed_port}: Error" in error.message
        assert found.seconds < 8
        assert asked(silent_port, closed_port, watching()).values == [[None], [None]]


def test_b2_sentinels_over_tls(watching, tmp_path):
    """Case B2: the master without, its sentinels with TLS."""
    ours = authority(tmp_path, "ours")
    with secured(watching(), *issued(ours, "server")) as port:
        assert asked(port, sentinel_tls=True, ca_certificate=str(ours.file)).values == [
            [None],
            [None],
        ]
        found = asked(port, sentinel_tls=True)
        assert [type(error) for error in found.errors] == [PermanentError, PermanentError]
        assert "ca_certificate" in found.errors[0].hint


def test_b2_options_of_sentinels_without_sentinels_are_refused():
    """Case B2: a name that was forgotten."""
    for options in ({"sentinel_password": "x"}, {"sentinel_username": "x"}, {"sentinel_tls": True}):
        for connecting in (connect, redis_async.connect):
            with pytest.raises(SettingsError, match=f"{next(iter(options))}.*no `sentinels`"):
                connecting(url="redis://127.0.0.1", **options)


def test_b10_a_master_that_hangs_is_left_for_its_replica(watched):
    """Case B10: it still accepts connections, and answers nothing."""
    sentinel, master, _ = watched
    store = connect(url="redis://features/0", sentinels=[sentinel])
    store.write([as_batch([Record(b"k", value(1, 1))])])
    store.close()

    async def read() -> float:
        reader = redis_async.connect(
            url="redis://features/0", sentinels=[sentinel], timeout_seconds=1.0
        )
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
