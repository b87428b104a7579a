"""What the online store keeps besides values: the stored form of each record, and the operations on
it."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

import controlplane
from connectors.redis.servers import Single
from connectors.redis.store import RedisStore
from controlplane.base import naming
from controlplane.online import records
from controlplane.online.records import Claim, Cursor, Pointers, SyncCursor

NAMESPACE = "shop.prod"
CURSOR = Cursor(
    version=1_704_412_800_000_001,
    token=b"\x00\xff12345\n",
    rows=3,
    synced_at=datetime(2024, 1, 5, 0, 0, 1, 500_000, tzinfo=UTC),
    epoch="a1:0,b2:7",
    warehouse="0123456789abcdef",
)
CLAIM = Claim("0123456789abcdef", "features", "/data/wärehouse", "", "2024-01-05T00:00:00+00:00")
# Written by deployed projects: these bytes never change.
CURSOR_FIELDS = {
    b"version": b"1704412800000001",
    b"token": b"\x00\xff12345\n",
    b"rows": b"3",
    b"synced_at": b"2024-01-05T00:00:01.500000+00:00",
    b"epoch": b"a1:0,b2:7",
    b"warehouse": b"0123456789abcdef",
}
CLAIM_FIELDS = {
    b"warehouse": b"0123456789abcdef",
    b"schema": b"features",
    b"place": "/data/wärehouse".encode(),
    b"made_by": b"",
    b"since": b"2024-01-05T00:00:00+00:00",
}
POINTER_FIELDS = {b"spend": b"a1b2c3d4", b"latest": b"00ff00ff"}


@pytest.fixture
def store(valkey_url: str) -> Iterator[RedisStore]:
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    opened = RedisStore(Single(client))
    yield opened
    opened.close()


@pytest.fixture
def cursor(store: RedisStore) -> SyncCursor:
    return SyncCursor(store, NAMESPACE, "spend", "a1b2c3d4")


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (CURSOR, CURSOR_FIELDS),
        (Cursor(), {}),
        (Cursor(version=0, token=b""), {b"version": b"0", b"token": b""}),
        (Cursor(epoch=""), {b"epoch": b""}),
        (CLAIM, CLAIM_FIELDS),
        (Pointers({"spend": "a1b2c3d4", "latest": "00ff00ff"}), POINTER_FIELDS),
        (Pointers({}), {}),
    ],
)
def test_the_stored_form_is_fixed(
    record: Cursor | Claim | Pointers, fields: dict[bytes, bytes]
) -> None:
    assert record.to_fields() == fields
    assert type(record).from_fields(fields) == record


def test_fields_of_a_later_version_are_ignored() -> None:
    assert Cursor.from_fields({**CURSOR_FIELDS, b"shards": b"2"}) == CURSOR


def test_a_claim_of_an_earlier_version_may_lack_fields() -> None:
    assert Claim.from_fields({b"warehouse": b"abc"}) == Claim("abc", "", "", "", "")


def test_an_instant_without_a_zone_is_in_utc() -> None:
    assert Cursor.from_fields({b"synced_at": b"2024-01-05T00:00:01"}).synced_at == datetime(
        2024, 1, 5, 0, 0, 1, tzinfo=UTC
    )


def test_the_first_token_stays(store: RedisStore, cursor: SyncCursor) -> None:
    assert not cursor.read().exists
    first = cursor.read_with_token()
    assert (first.version, len(first.token or b"")) == (None, 8)
    assert cursor.read_with_token() == first
    assert store.get_fields(naming.cursor_hash(NAMESPACE, "spend", "a1b2c3d4")) == first.to_fields()


def test_a_cursor_moves_only_from_what_was_seen(cursor: SyncCursor) -> None:
    seen = cursor.read_with_token()
    assert cursor.move(seen, Cursor(version=5, rows=2))
    assert not cursor.move(seen, Cursor(version=6))
    moved = cursor.read()
    assert (moved.reached, moved.rows, moved.token) == (5, 2, seen.token)
    cursor.reset()
    assert not cursor.move(moved, Cursor(version=6))
    assert cursor.read().reached == 0
    assert cursor.read().token != moved.token


def test_a_reset_keeps_the_warehouse_unless_given(store: RedisStore, cursor: SyncCursor) -> None:
    name = naming.cursor_hash(NAMESPACE, "spend", "a1b2c3d4")
    store.set_fields(name, CURSOR_FIELDS)
    cursor.reset()
    reset = cursor.read()
    assert (reset.version, reset.warehouse, reset.rows) == (0, CURSOR.warehouse, 3)
    cursor.reset("another")
    assert cursor.read().warehouse == "another"
    cursor.remove()
    assert store.get_fields(name) == {}


def test_the_first_claim_stays_until_it_is_replaced(store: RedisStore) -> None:
    assert records.read_claim(store, NAMESPACE) is None
    records.write_claim(store, NAMESPACE, CLAIM, only_first=True)
    other = Claim("other", "features", "", "", "")
    records.write_claim(store, NAMESPACE, other, only_first=True)
    assert records.read_claim(store, NAMESPACE) == CLAIM
    assert store.get_fields(naming.claim_hash(NAMESPACE)) == CLAIM_FIELDS
    records.write_claim(store, NAMESPACE, other)
    assert records.read_claim(store, NAMESPACE) == other


def test_readers_are_pointed_view_by_view(store: RedisStore) -> None:
    records.point(store, NAMESPACE, {"spend": "old", "latest": "00ff00ff"})
    records.point(store, NAMESPACE, {"spend": "a1b2c3d4"})
    assert store.get_fields(naming.serving_hash(NAMESPACE)) == POINTER_FIELDS

    class InEventLoop:
        async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
            return store.get_fields(name)

    pointers = records.read_pointers(store, NAMESPACE)
    assert pointers == asyncio.run(records.read_pointers_async(InEventLoop(), NAMESPACE))  # type: ignore[arg-type]
    assert pointers.versions == {"spend": "a1b2c3d4", "latest": "00ff00ff"}


def test_no_other_module_reads_or_writes_a_field() -> None:
    folder = Path(controlplane.__file__).parent
    names = {*CURSOR_FIELDS, *CLAIM_FIELDS}
    offences = []
    for path in folder.rglob("*.py"):
        if path.relative_to(folder).as_posix() in {"online/records.py", "base/ports.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(value=bytes() as name) if name in names:
                    offences.append(f"{path}:{node.lineno}")
                case ast.Attribute(attr="get_fields" | "set_fields"):
                    offences.append(f"{path}:{node.lineno}")
    assert offences == []
