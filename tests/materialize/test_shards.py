"""A sync whose shards are written apart: together they write what one does, and the cursor waits
for all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import redis

from connectors.redis.store import RedisStore, connect
from connectors.snowflake.signin import connect as connect_snowflake
from controlplane import Aggregate, Attribute, BatchFeatureView, Entity, batch_feature_view
from controlplane.base import naming
from controlplane.base.ports import WriteCount
from controlplane.errors import PermanentError, TransientError
from controlplane.online import syncing
from controlplane.online.reconcile import reconcile
from controlplane.online.syncing import Begun, ShardReport, ValuesLost
from controlplane.sql.dialects import DIALECTS
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.engine.rig import SUBJECT, Rig, micros, naive

START, HOUR = micros("2024-01-01"), 3_600_000_000
COLUMNS = {
    "k": "VARCHAR",
    "n": "BIGINT",
    "b": "BOOLEAN",
    "y": "DATE",
    "u": "TIMESTAMP",
    "x": "BLOB",
    "ts": "TIMESTAMP",
    "i": "BIGINT",
}
KEYS = {"k": "string", "n": "int64", "b": "bool", "y": "date", "u": "timestamp", "x": "binary"}
COUNT = 60


def definition(*keys: str) -> BatchFeatureView:
    """The view with these keys."""

    @batch_feature_view(
        entities=[Entity("thing", keys={name: KEYS[name] for name in keys}, owner="team")],
        sources=[SUBJECT],
        features=[Aggregate("sum", "i", windows=["2h"]), Attribute("i", "int64")],
        schedule="1h",
        start="2024-01-01",
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def rows(hour: int = 0) -> list[dict[str, Any]]:
    """One event of each of so many keys, of every type."""
    return [
        {
            "k": f"it's {number} é" if number else "",
            "n": (number - 30) * 3 * 2**40,
            "b": number % 2 == 0,
            "y": date(1969, 12, 1) + timedelta(days=number),
            "u": naive(number - 30),
            "x": bytes([number, 255]) if number else b"",
            "ts": naive(START + hour * HOUR + number),
            "i": number + 1000 * hour,
        }
        for number in range(COUNT)
    ]


def wall() -> datetime:
    return datetime(2030, 1, 1, tzinfo=UTC)


class Online:
    """A view and the store that it is brought to."""

    def __init__(self, rig: Rig, store: RedisStore, raw: redis.Redis) -> None:
        self.rig, self.store, self.raw = rig, store, raw
        self._name = naming.cursor_hash(
            rig.program.namespace, rig.program.view, rig.program.fingerprint
        )

    def sync(self) -> syncing.SyncReport:
        return syncing.sync(
            self.rig.program, self.rig.warehouse, self.store, self.rig.sql["sync"], clock=wall
        )

    def begin(self, shards: int, store: Any = None, *, full: bool = False) -> Begun:
        return syncing.begin_sync(
            self.rig.program, store or self.store, clock=wall, shards=shards, full=full
        )

    def write(self, begun: Begun, shard: int, store: Any = None) -> ShardReport:
        sql, warehouse = self.rig.sql["sync"], self.rig.warehouse
        return syncing.write_shard(
            self.rig.program, warehouse, store or self.store, sql, begun, shard, clock=wall
        )

    def end(
        self, begun: Begun, reports: Sequence[ShardReport], store: Any = None
    ) -> syncing.SyncReport:
        return syncing.end_sync(self.rig.program, store or self.store, begun, reports)

    def cursor(self) -> Mapping[bytes, bytes]:
        return self.store.get_fields(self._name)

    def version(self) -> int:
        return int(self.cursor().get(b"version", b"0"))

    def held(self) -> dict[bytes, tuple[bytes, int]]:
        """Every value and when it expires."""
        prefix = naming.online_prefix(
            self.rig.program.namespace, self.rig.program.view, self.rig.program.fingerprint
        )
        names = [name for some in self.store.keys(prefix) for name in some]
        return {
            name: (self.store.read([name])[0] or b"", self.raw.pexpiretime(name.decode()))
            for name in names
        }

    def right(self) -> None:
        """That every key is as the warehouse has it, and that the next sync has nothing to do."""
        warehouse, sql = self.rig.warehouse, self.rig.sql["sync"]
        told = reconcile(self.rig.program, warehouse, self.store, sql, served=True, clock=wall)
        assert (told.rows, told.right) == (COUNT, COUNT), told
        assert self.version() == self.rig.head().version
        assert self.sync().rows == 0

    def publish(self, hour: int) -> None:
        """Change every key's values."""
        self.rig.add(rows(hour))
        self.rig.materialize(START + hour * HOUR, START + (hour + 1) * HOUR)


@pytest.fixture(scope="module")
def client(valkey_url: str) -> Iterator[tuple[RedisStore, redis.Redis]]:
    store = connect(url=valkey_url)
    with redis.Redis.from_url(valkey_url, protocol=2) as raw:
        yield store, raw
    store.close()


@pytest.fixture
def online(client: tuple[RedisStore, redis.Redis]) -> Iterator[Online]:
    """A view of one string key, computed for an hour."""
    store, raw = client
    raw.flushdb()
    with Rig(definition("k"), COLUMNS) as rig:
        made = Online(rig, store, raw)
        made.publish(0)
        yield made


def same_as_one(online: Online, shards: int) -> list[int]:
    """Write with one shard and with several, and compare; the rows of each shard."""
    online.raw.flushdb()
    whole = online.sync()
    assert whole.rows == whole.written > 0
    wanted, cursor = online.held(), dict(online.cursor())
    online.raw.flushdb()
    begun = online.begin(shards)
    reports = [
        online.write(begun, shard) for shard in random.Random(7).sample(range(shards), shards)
    ]
    assert online.version() == 0
    assert online.end(begun, reports) == whole
    assert online.held() == wanted
    assert {**online.cursor(), b"token": b""} == {**cursor, b"token": b""}
    assert all(report.written == report.rows for report in reports)
    return [report.rows for report in reports]


@pytest.mark.parametrize("keys", [("k",), ("n",), ("b",), ("y", "u", "x")], ids="-".join)
def test_all_shards_together_write_what_one_does(client, keys):
    store, raw = client
    with Rig(definition(*keys), COLUMNS) as rig:
        online = Online(rig, store, raw)
        online.publish(0)
        several = [
            same_as_one(online, shards) for shards in (2, 5, *([64] if keys == ("k",) else []))
        ]
    different = 2 if keys == ("b",) else COUNT
    assert {sum(found) for found in several} == {different}
    if different == COUNT:
        assert min(several[0]) > COUNT / 5, "the keys are scattered"
        assert min(several[1]) > 0


def test_on_snowflake(client):
    store, raw = client
    with SnowflakeEndpoint() as endpoint:
        warehouse = connect_snowflake(**endpoint.options())
        with Rig(definition(*KEYS), COLUMNS, warehouse=warehouse) as rig:
            online = Online(rig, store, raw)
            online.publish(0)
            found = same_as_one(online, 3)
        hashed = [query.text for query in endpoint.account.history if "HASH(" in query.text]
    assert sum(found) == COUNT
    assert min(found) > COUNT / 10
    assert len(hashed) == 3
    assert all(' AND ABS(MOD(HASH("K", "N", "B", "Y", "U", "X"), 3)) = ' in text for text in hashed)


def test_the_shard_in_every_warehouses_words():
    assert {
        name: d.shard_of([d.quote("a`b"), d.quote("c")], 8) for name, d in DIALECTS.items()
    } == {
        "duckdb": '(hash("a`b", "c") % 8)',
        "snowflake": 'ABS(MOD(HASH("A`B", "C"), 8))',
        "databricks": "pmod(xxhash64(`a``b`, `c`), 8)",
    }


class Failing:
    """A store that takes some rows and then fails."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        for batch in batches:
            self._store.write([batch.slice(0, 2)])
        raise TransientError("the connection broke")

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        return self._store.get_fields(name)


def test_a_shard_that_has_failed_leaves_the_cursor_and_is_written_again(online):
    online.sync()
    before = online.version()
    online.publish(1)
    begun = online.begin(3)
    reports = [online.write(begun, 0), online.write(begun, 2)]
    with pytest.raises(TransientError, match="the connection broke"):
        online.write(begun, 1, Failing(online.store))
    with pytest.raises(PermanentError) as raised:
        online.end(begun, reports)
    assert raised.value.message == (
        "feature view 'subject': of 3 shards of the sync these have not been written: 1"
    )
    assert online.version() == before
    again = online.write(begun, 1)
    assert online.end(begun, [*reports, again]).rows == COUNT
    assert online.version() == online.rig.head().version > before
    online.right()


def test_a_shard_of_another_sync_does_not_count(online):
    earlier = online.begin(2)
    reports = [online.write(earlier, shard) for shard in range(2)]
    online.raw.flushdb()
    begun = online.begin(2)
    with pytest.raises(PermanentError, match="have not been written: 0, 1"):
        online.end(begun, reports)
    with pytest.raises(PermanentError, match="have not been written: 0"):
        online.end(begun, [reports[0], online.write(begun, 1)])
    assert online.version() == 0


@pytest.mark.parametrize(
    "another", [False, True], ids=["alone", "and another sync has begun since"]
)
def test_a_store_that_loses_values_between_two_shards(online, another):
    begun = online.begin(2)
    first = online.write(begun, 0)
    online.raw.flushdb()
    if another:
        online.begin(2)
    second = online.write(begun, 1)
    with pytest.raises(
        ValuesLost, match="the online store lost values while it was written"
    ) as raised:
        online.end(begun, [first, second])
    assert isinstance(raised.value, TransientError)
    assert online.version() == 0
    assert online.sync().rows == COUNT
    online.right()


def test_a_publication_between_two_shards(online):
    begun = online.begin(2)
    first = online.write(begun, 0)
    before = online.rig.head().version
    online.publish(1)
    second = online.write(begun, 1)
    assert first.version == before < second.version == online.rig.head().version
    report = online.end(begun, [first, second])
    assert report.version == online.version() == before
    # Those of the first shard are behind, those of the second are written again and change nothing.
    assert online.sync().rows == COUNT
    online.right()


class Passed:
    """A store at which something happens between a sync's first look at the cursor and its next
    step."""

    def __init__(self, store: RedisStore, happens: Callable[[], None]) -> None:
        self._store, self._happens = store, happens

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        found = self._store.get_fields(name)
        happens, self._happens = self._happens, lambda: None
        happens()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("done", [False, True])
def test_two_first_syncs_at_the_same_moment(online, done):
    others = []

    def other() -> None:
        others.append(online.begin(1))
        if done:
            assert online.end(others[0], [online.write(others[0], 0)]).rows == COUNT

    begun = online.begin(1, Passed(online.store, other))
    assert online.end(begun, [online.write(begun, 0)]).rows == (0 if done else COUNT)
    if not done:
        assert online.end(others[0], [online.write(others[0], 0)]).rows == COUNT
    online.right()


def test_two_ends_at_the_same_moment(online):
    begun, later = online.begin(1), list[Begun]()
    report = online.write(begun, 0)

    def overtake() -> None:
        online.publish(1)
        assert online.sync().rows == COUNT
        later.append(online.begin(1))

    assert online.end(begun, [report], Passed(online.store, overtake)).rows == COUNT
    assert online.end(later[0], [online.write(later[0], 0)]).rows == 0
    online.right()


def test_a_store_that_is_flushed_just_before_the_cursor_moves(online):
    begun = online.begin(1)
    report = online.write(begun, 0)
    with pytest.raises(ValuesLost):
        online.end(begun, [report], Passed(online.store, online.raw.flushdb))
    assert online.sync().rows == COUNT
    online.right()


def test_a_sync_that_came_further_meanwhile(online):
    begun = online.begin(2)
    reports = [online.write(begun, shard) for shard in range(2)]
    online.publish(1)
    online.sync()
    further = online.version()
    assert online.end(begun, reports).version < further
    assert online.version() == further
    online.right()


def test_all_keys_again(online):
    online.sync()
    lost = next(iter(online.held()))
    online.raw.delete(lost)
    begun = online.begin(4)
    assert online.end(begun, [online.write(begun, shard) for shard in range(4)]).rows == 0
    begun = online.begin(4, full=True)
    assert online.end(begun, [online.write(begun, shard) for shard in range(4)]).rows == COUNT
    assert lost in online.held()
    online.right()
