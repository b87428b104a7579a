"""Runs, backfills, healings and overlapping syncs in any order: in the end the online store is what
`latest` says."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pyarrow as pa
import redis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from connectors.redis.store import RedisStore, connect
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, StoreInfo, WriteCount
from controlplane.codec import online_key, write_version_of
from controlplane.errors import CheckFailed
from controlplane.online import syncing
from controlplane.online.reconcile import reconcile
from controlplane.release.program import Program
from tests.codec.rows import Record, encode_rows
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.rig import Rig, naive
from tests.engine.test_order import changed

CASES = int(os.environ.get("CASES", "10"))
SOON_MS = 5_000


class Killed(Exception):
    """What ends a sync that is killed."""


def written(
    rig: Rig, program: Program, store: OnlineStore, now: datetime, choice: random.Random
) -> syncing.SyncReport:
    """A whole sync or one in shards, of what is new or of all keys."""
    full, shards = choice.random() < 0.2, choice.choice([1, 1, 2, 3])
    begun = syncing.begin_sync(program, store, clock=lambda: now, shards=shards, full=full)
    reports = [
        syncing.write_shard(
            program, rig.warehouse, store, rig.sql["sync"], begun, shard, clock=lambda: now
        )
        for shard in choice.sample(range(shards), shards)
    ]
    return syncing.end_sync(program, store, begun, reports)


class Sync:
    """A sync that waits for its turn before each thing that it does with the online store.

    So it is this very object that it takes for the store. Only one of all syncs and runs goes on at
    a time.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        rig: Rig,
        program: Program,
        store: RedisStore,
        now: datetime,
        seed: int,
    ) -> None:
        self._store = store
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = False
        self._future: Future[syncing.SyncReport] = pool.submit(
            written, rig, program, cast("OnlineStore", self), now, random.Random(seed)
        )
        self._future.add_done_callback(lambda _: self._paused.release())
        self._paused.acquire()

    def advance(self) -> bool:
        """Let it go on until its next turn; whether it has not ended."""
        self._go.release()
        self._paused.acquire()
        if not self._future.done():
            return True
        self._future.result()
        return False

    def finish(self) -> None:
        """Let it go on to its end, which must be a good one."""
        while self.advance():
            pass
        self._future.result()

    def kill(self) -> None:
        """Let it end where it is."""
        self._killed = True
        self._go.release()
        assert isinstance(self._future.exception(), Killed)

    def _turn(self) -> None:
        self._paused.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def info(self) -> StoreInfo:
        self._turn()
        return self._store.info()

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        self._turn()
        return self._store.get_fields(name)

    def set_fields(
        self, name: bytes, fields: Mapping[bytes, bytes], expected: Mapping[bytes, bytes | None]
    ) -> bool:
        self._turn()
        return self._store.set_fields(name, fields, expected)

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        self._turn()
        read = list(batches)
        total = WriteCount()
        for batch in read:
            half = batch.num_rows // 2
            for part in (batch.slice(0, half), batch.slice(half)):
                self._turn()
                count = self._store.write([part])
                total = WriteCount(
                    total.written + count.written, total.kept_newer + count.kept_newer
                )
        return total


def check(rig: Rig, program: Program, store: RedisStore, raw: redis.Redis, now: datetime) -> int:
    """Compare every key, by the rules in plain Python and by those of the product.

    How many values there are.
    """
    prefix = naming.online_prefix(program.namespace, program.view, program.fingerprint)
    table = f"features.{rig.d.quote(naming.latest(program.view, program.fingerprint))}"
    rows = [
        row for batch in rig.warehouse.fetch(f"SELECT * FROM {table}") for row in batch.to_pylist()
    ]
    assert program.now is not None
    shift, wall_ms = now - program.now, int(now.timestamp() * 1000)
    wanted = encode_rows(rows, program.layout, prefix, write_version=0, expiry_shift=shift, now=now)
    keys = {online_key(prefix, program.layout, row) for row in rows}
    assert set(raw.scan_iter(match=prefix + b"*", count=1000)) <= keys
    alive = 0
    for row, record in zip(rows, wanted, strict=True):
        found = cast("bytes | None", raw.get(record.key))
        gone = row["is_deleted"] or (
            record.expires_ms is not None and record.expires_ms <= wall_ms + SOON_MS
        )
        if gone:
            assert (
                found is None or unversioned(found)[:1] == b"\x92" or expires_soon(record, wall_ms)
            ), row
            continue
        alive += 1
        assert found is not None, row
        assert unversioned(found) == unversioned(record.value), row
        assert write_version_of(found) <= rig.head().version
        assert raw.pexpiretime(record.key.decode()) == (
            -1 if record.expires_ms is None else record.expires_ms
        )
    told = reconcile(program, rig.warehouse, store, rig.sql["sync"], served=True, clock=lambda: now)
    assert (told.rows, told.right) == (len(rows), len(rows)), told
    assert told.unhealed == 0
    return alive


def unversioned(found: bytes) -> bytes:
    head = 3 if found.startswith(b"\xdc") else 1
    return found[: head + 1] + found[head + 9 :]


def expires_soon(record: Record, wall_ms: int) -> bool:
    return record.expires_ms is not None and wall_ms < record.expires_ms <= wall_ms + SOON_MS


def healed(choice: random.Random, case: Case) -> list[dict[str, Any]]:
    """The rows without the newest ones, of one key or of all: their newest change points go."""
    times = sorted(row["ts"] for row in case.rows if row["ts"] is not None)
    last = times[len(times) * 2 // 3] if times else 0
    key = case.view.keys[0]
    whose = choice.choice([*cases.VALUES[key], None])
    return [
        row
        for row in case.rows
        if row["ts"] is None or row["ts"] < last or whose not in (None, row[key])
    ]


def follow(case: Case, choice: random.Random, store: RedisStore, raw: redis.Redis) -> int:
    """Do all kinds of things in any order, then sync once more, and compare.

    How many values there are.
    """
    raw.flushdb()
    versions = [case.rows, changed(choice, case), healed(choice, case), changed(choice, case)]
    wall = datetime.now(UTC)
    start = case.view.start
    with (
        Rig(case.definition, cases.COLUMNS, rows=cases.loaded(case.rows)) as rig,
        ThreadPoolExecutor(8) as pool,
    ):
        now = naive(
            start
            + choice.randint(1, case.intervals + 1) * case.view.schedule
            + choice.choice([0, 0, 1, 7])
        )
        program = msgspec.structs.replace(rig.program, now=now.replace(tzinfo=UTC))
        going: list[Sync] = []

        def sync() -> Sync:
            return Sync(pool, rig, program, store, wall, choice.randrange(2**32))

        def advance() -> None:
            for one in choice.sample(going, min(len(going), 1)):
                if not all(one.advance() for _ in range(choice.choice([1, 2, 4, 8]))):
                    going.remove(one)

        def interrupted(_: str) -> None:
            if choice.random() < 0.3:
                advance()

        try:
            for _ in range(choice.randint(8, 30)):
                what = choice.choice(
                    [
                        "run",
                        "change",
                        "change",
                        "sync",
                        "sync",
                        "sync",
                        "kill",
                        "kill",
                        *["advance"] * 5,
                    ]
                )
                if what == "change":
                    rig.replace(cases.loaded(choice.choice(versions)))
                if what in ("run", "change"):
                    first = choice.randrange(case.intervals)
                    end = min(first + choice.choice([1, 2, case.intervals]), case.intervals)
                    rig.materialize(
                        start + first * case.view.schedule,
                        start + end * case.view.schedule,
                        interrupted,
                    )
                elif what == "sync" and len(going) < 4:
                    going.append(sync())
                elif what == "kill" and going:
                    going.pop(choice.randrange(len(going))).kill()
                else:
                    advance()
            rig.materialize(
                start, start + choice.randint(1, case.intervals) * case.view.schedule, interrupted
            )
            for _ in range(choice.randint(0, 8)):
                advance()
        finally:
            while going:
                going.pop().kill()
        sync().finish()
        return check(rig, program, store, raw, wall)


def test_in_any_order_the_online_store_ends_as_the_newest_rows(valkey_url: str) -> None:
    full = 0

    @settings(
        max_examples=CASES,
        derandomize="CASES" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases.cases(1, 3, 5, 7), st.integers(0, 2**63))
    def look(case: Case, seed: int) -> None:
        nonlocal full
        try:
            full += follow(case, random.Random(seed), store, raw) > 0
        except CheckFailed:
            reject()  # all rows of a run lack a key: that is refused, and tested with the checks

    store = connect(url=valkey_url)
    with redis.Redis.from_url(valkey_url, protocol=2) as raw:
        look()
    store.close()
    assert full > CASES / 3, full
