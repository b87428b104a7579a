"""Reading from an event loop: the same vectors, few round trips, and a server that goes and
comes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
import redis

from connectors.redis.async_store import AsyncRedisStore, connect
from connectors.redis.servers import Single
from connectors.redis.store import RedisStore
from controlplane.base import naming
from controlplane.errors import PermanentError, SettingsError, TransientError
from controlplane.serving import AsyncOnlineReader, FeatureVectors, OnlineReader, ServiceLayout
from tests.serving.test_reader import (
    DELAYS_VIEW,
    JFK,
    NAMES,
    NAMESPACE,
    NEWER,
    NOW,
    SERVICE,
    SINCE,
    TAILS_VIEW,
    save,
    save_jfk,
)  # fmt: skip

Work = Callable[[AsyncOnlineReader], Awaitable[Any]]


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url, protocol=2) as opened:
        opened.flushall()
        save_jfk(RedisStore(Single(opened)))
        yield opened


def run(url: str, work: Work, service: ServiceLayout = SERVICE, **options: Any) -> Any:
    """What becomes of work with a reader, in an event loop of its own."""

    async def main() -> Any:
        store = connect(url=url, **options)
        try:
            return await work(AsyncOnlineReader(store, service, lambda: NOW, refresh_seconds=0))
        finally:
            await store.close()

    return asyncio.run(main())


def test_it_reads_what_the_other_reads(client, valkey_url):
    rows = [{"origin": f"A{n}", "count_1h": n, "last_3": []} for n in range(300)]
    save(RedisStore(Single(client)), DELAYS_VIEW, rows)
    requests = [{"origin": f"A{n % 350}", "day": None} for n in range(400)] + [JFK]
    found = run(valkey_url, lambda reader: reader.get(requests))
    expected = OnlineReader(RedisStore(Single(client)), SERVICE, lambda: NOW).get(requests)
    assert [vector.to_dict() for vector in found] == expected.to_dicts()
    assert run(valkey_url, lambda reader: reader.get(JFK)) == expected[-1]
    assert run(valkey_url, lambda reader: reader.get([])) == []


def test_reads_of_one_moment_share_a_round_trip(client, valkey_url):
    reads = lambda: client.info("stats")["total_reads_processed"]  # noqa: E731

    async def work(reader: AsyncOnlineReader) -> list[Any]:
        await reader.get(JFK)
        before = reads()
        found = await asyncio.gather(*(reader.get(JFK) for _ in range(200)))
        assert reads() - before < 20
        return found

    assert [vector["delays__count_1h"] for vector in run(valkey_url, work)] == [3] * 200


def test_who_waits_no_longer_takes_no_answer_of_others(client, valkey_url):
    async def work(reader: AsyncOnlineReader) -> list[Any]:
        await reader.get(JFK)
        tasks = [
            asyncio.create_task(reader.get({"origin": "JFK" if n % 2 else "LAX", "day": 7}))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = run(valkey_url, work)
    counts = [None if isinstance(one, BaseException) else one["delays__count_1h"] for one in found]
    assert counts == [None if n % 3 == 0 else 3 if n % 2 else 0 for n in range(50)]


def test_a_version_is_flipped_and_a_lost_connection_made_anew(client, valkey_url):
    both = ServiceLayout("late", NAMESPACE, (DELAYS_VIEW, TAILS_VIEW, NEWER))
    save(RedisStore(Single(client)), NEWER, [{"origin": "JFK", "count_1h": 30, "new_1h": 1}])

    async def work(reader: AsyncOnlineReader) -> list[Any]:
        found = [(await reader.get(JFK))["delays__count_1h"]]
        client.hset(naming.serving_hash(NAMESPACE).decode(), mapping={"delays": "d2"})
        found.append((await reader.get(JFK))["delays__count_1h"])
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        found.append((await reader.get(JFK))["delays__count_1h"])
        return found

    assert run(valkey_url, work, both) == [3, 30, 30]


def test_a_server_that_does_not_answer_is_given_up_and_asked_again(client, valkey_url):
    async def work(reader: AsyncOnlineReader) -> Any:
        await reader.get(JFK)
        client.client_pause(600)
        with pytest.raises(TransientError, match="Timeout"):
            await reader.get(JFK)
        await asyncio.sleep(0.6)
        return await reader.get(JFK)

    assert run(valkey_url, work, timeout_seconds=0.1)["delays__count_1h"] == 3


def test_what_is_sent_on_a_lost_connection_fails_at_once(valkey_url):
    async def work() -> None:
        store = connect(url=valkey_url, timeout_seconds=0.5)
        assert isinstance(store, AsyncRedisStore)
        link = await store._server._opened()
        link.close(redis.ConnectionError("lost"))
        await asyncio.sleep(0.05)
        with pytest.raises(redis.ConnectionError):
            await link.send(b"PING\r\n")
        await store.close()

    asyncio.run(work())


def test_an_error_that_is_told_again_does_not_grow():
    async def depths() -> list[int]:
        store = connect(url="redis://127.0.0.1:1")
        assert isinstance(store, AsyncRedisStore)
        found = []
        for _ in range(4):
            try:
                await store._server._opened()
            except redis.ConnectionError as error:
                found.append(len(traceback.extract_tb(error.__traceback__)))
        return found

    _, *again = asyncio.run(depths())
    assert len(set(again)) == 1


def test_what_is_wrong_is_told_as_by_the_other(client, valkey_url):
    get: Work = lambda reader: reader.get(JFK)  # noqa: E731
    with pytest.raises(TransientError, match=r"127.0.0.1:1/0"):
        run("redis://127.0.0.1:1", get)
    with pytest.raises(SettingsError, match="is not a Redis URL"):
        run("http://127.0.0.1", get)
    client.execute_command("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "-@all", "+hgetall")
    with pytest.raises(PermanentError, match="permissions") as refused:
        run(valkey_url, get, username="nobody", password="secret")
    assert "secret" not in str(refused.value)
    with pytest.raises(PermanentError, match="check the user") as wrong:
        run(valkey_url, get, username="nobody", password="other")
    assert "other" not in str(wrong.value)


def test_a_table_has_the_same_columns_whatever_was_found(client):
    reader = OnlineReader(RedisStore(Single(client)), SERVICE, lambda: NOW)
    found, nothing = reader.get([JFK, {"origin": "LAX", "day": 1}]), reader.get([])
    table = found.to_arrow()
    types = [pa.int64(), pa.float64(), pa.list_(pa.string()), pa.decimal128(8, 2), pa.string()]
    assert table.schema == nothing.to_arrow().schema == pa.schema(zip(NAMES, types, strict=True))
    assert table.to_pylist() == [dict(vector) for vector in found]
    wide = found.to_arrow(statuses=True, effective_times=True)
    assert wide.column_names[:3] == [
        "delays__count_1h",
        "delays__count_1h__status",
        "delays__count_1h__effective_time",
    ]
    assert wide.column("tails__tail__status").to_pylist() == ["present", "missing"]
    assert wide.column("tails__tail__effective_time").to_pylist() == [
        SINCE.replace(tzinfo=None),
        None,
    ]
    frame = found.to_pandas()
    assert list(frame.columns) == NAMES
    assert str(frame.dtypes["delays__count_1h"]) == "int64[pyarrow]"
    assert isinstance(found, FeatureVectors)
