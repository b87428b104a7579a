"""Writes published values to the online store: begin once, write shard by shard, end once.

`sync` does all of it with one shard. In Airflow the shards of a large view are separate tasks. They
may run at the same time and may be repeated: writes are compare-and-set, and only the end moves the
cursor.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, StoreInfo, Warehouse
from controlplane.codec.batch import encode_batch
from controlplane.control import identity, ledger
from controlplane.errors import PermanentError, TransientError
from controlplane.online import claims, eviction
from controlplane.online.records import Cursor, SyncCursor
from controlplane.release.program import Program
from controlplane.sql.dialects import dialect

if TYPE_CHECKING:
    import pyarrow as pa


class ValuesLost(TransientError):
    """The online store lost values during a sync; the next sync writes the missing ones."""


@dataclass(frozen=True)
class Begun:
    """What the shards and the end of a sync need to know of its start.

    Attributes:
        mark: a random name of this sync; reports of shards with another mark don't count.
        shards: the number of shards.
        token: the cursor's token, which stays the same until the store loses values.
        epoch: see `StoreInfo`.
        found: the version of the cursor at the start.
        cursor: the version after which rows are written; 0 for all rows.
        wall: the start, by the wall clock.
        warnings: messages for the store's owner.
    """

    mark: str
    shards: int
    token: bytes
    epoch: str
    found: int
    cursor: int
    wall: datetime
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class ShardReport:
    """The result of one shard: rows read, rows written, and rows kept out by newer values.

    It read all publications up to `version`. `warehouse` is the id of the warehouse that it read;
    empty if the warehouse has none yet.
    """

    mark: str
    shard: int
    rows: int
    written: int
    kept_newer: int
    version: int
    warehouse: str = ""


@dataclass(frozen=True)
class SyncReport:
    """The result of a sync: rows read, rows written, and rows kept out by newer values.

    `version` is the version that the store now holds, `warnings` are messages for its owner.
    """

    rows: int = 0
    written: int = 0
    kept_newer: int = 0
    version: int = 0
    warnings: Sequence[str] = ()


def sync(
    program: Program,
    warehouse: Warehouse,
    store: OnlineStore,
    sql: str,
    *,
    clock: Callable[[], datetime],
    on_rows: Callable[[int], None] = lambda _: None,
    full: bool = False,
) -> SyncReport:
    """Write the newest row of every key published since the last sync, then move the cursor.

    Args:
        program: the view.
        warehouse: read in one snapshot.
        store: written with compare-and-set, so that overlapping runs are safe.
        sql: the query for the view's newest rows.
        clock: the wall clock. If the environment's `now` is fixed, expiries move by the difference.
        on_rows: receives the number of rows of each batch.
        full: write all keys, not only those after the cursor.
    """
    begun = begin_sync(program, store, clock=clock, full=full)
    report = write_shard(program, warehouse, store, sql, begun, 0, clock=clock, on_rows=on_rows)
    return end_sync(program, store, begun, [report])


def begin_sync(
    program: Program,
    store: OnlineStore,
    *,
    clock: Callable[[], datetime],
    shards: int = 1,
    full: bool = False,
) -> Begun:
    """Check the store, read the cursor, and give it a token if it has none; see `sync`.

    Raises:
        PermanentError: values would not be safe in the store; nothing was written.
    """
    info = store.info()
    warnings = preflight(info)
    cursor = _cursor(program, store).read_with_token()
    wall = clock()
    # A single server persists in order: if the cursor survived, so did every earlier write.
    if info.spread and cursor.epoch not in (None, info.epoch):
        warnings.append(
            "the online store has restarted or failed over since the last sync, which may have lost"
            " values: all keys were written again"
        )
        full = True
    token, reached = cursor.token or b"", cursor.reached
    return Begun(
        secrets.token_hex(4),
        shards,
        token,
        info.epoch,
        reached,
        0 if full else reached,
        wall,
        warnings,
    )


def write_shard(
    program: Program,
    warehouse: Warehouse,
    store: OnlineStore,
    sql: str,
    begun: Begun,
    shard: int,
    *,
    clock: Callable[[], datetime],
    on_rows: Callable[[int], None] = lambda _: None,
) -> ShardReport:
    """Write the keys of one shard that were published after the cursor; see `sync`.

    Shards are numbered from 0.

    Raises:
        PermanentError: the store holds the values of another warehouse, and nothing was written; or
            it did not answer for every row.
    """
    warehouse_id = _claim(program, warehouse, store, begun.wall)
    # Read before the rows: they contain every publication up to this one, even one that changed no
    # key.
    version = max(begun.cursor, ledger.synced_version(warehouse, program))
    prefix = naming.online_prefix(program.namespace, program.view, program.fingerprint)
    shift = begun.wall - program.now if program.now is not None else timedelta(0)
    rows, now = 0, clock()

    def encoded() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in warehouse.fetch(
            _rows_of(program, warehouse, sql, begun, shard), tag=program.tag("sync")
        ):
            if batch.num_rows == 0:
                continue
            rows += batch.num_rows
            newest = batch.column("write_version")[0].as_py()
            yield from encode_batch(
                batch, program.layout, prefix, write_version=newest, expiry_shift=shift, now=now
            )
            on_rows(batch.num_rows)

    count = store.write(encoded())
    if count.written + count.kept_newer != rows:
        raise PermanentError(
            f"feature view {program.view!r}: {rows} rows were read, but the online store confirmed"
            f" {count.written + count.kept_newer}",
            hint="run it again; the cursor was not moved, so nothing is lost",
        )
    return ShardReport(
        begun.mark, shard, rows, count.written, count.kept_newer, version, warehouse_id
    )


def end_sync(
    program: Program, store: OnlineStore, begun: Begun, reports: Sequence[ShardReport]
) -> SyncReport:
    """Move the cursor to the version that all shards have read, if no values were lost; see `sync`.

    Raises:
        PermanentError: a shard of this sync has not reported; the cursor was not moved.
        ValuesLost: the store lost values since the sync began; the cursor was not moved.
    """
    own = {report.shard: report for report in reports if report.mark == begun.mark}
    if missing := sorted(set(range(begun.shards)) - set(own)):
        raise PermanentError(
            f"feature view {program.view!r}: of {begun.shards} shards of the sync these have not"
            f" been written: {', '.join(map(str, missing))}",
            hint="run it again from its beginning; the cursor was not moved, so nothing is lost",
        )
    rows, written, kept_newer = (
        sum(getattr(report, name) for report in own.values())
        for name in ("rows", "written", "kept_newer")
    )
    # A publication that came between two shards is only in the later one's rows.
    version = min(report.version for report in own.values())
    warehouse_ids = {report.warehouse for report in own.values()} - {""}
    moved = Cursor(
        version=version,
        rows=rows,
        synced_at=begun.wall,
        epoch=begun.epoch,
        warehouse=min(warehouse_ids, default=None),
    )
    sync_cursor = _cursor(program, store)
    while True:
        # The cursor is next to the values and is lost with them. A removal of values gives it
        # another token.
        cursor = sync_cursor.read()
        if (
            cursor.token != begun.token
            or cursor.reached < begun.found
            or store.info().epoch != begun.epoch
        ):
            raise ValuesLost(
                f"feature view {program.view!r}: the online store lost values while it was written",
                hint=(
                    "run it again: it writes everything that is missing; see why the server was"
                    " flushed or restarted"
                ),
            )
        if cursor.reached > version:
            break  # another sync is ahead; going back would look like a loss to a third one
        if sync_cursor.move(cursor, moved):
            break
    return SyncReport(rows, written, kept_newer, version, begun.warnings)


def preflight(info: StoreInfo) -> list[str]:
    """Check the store's configuration before the first write; return warnings for its owner.

    Raises:
        PermanentError: values would not be safe in it; nothing was written.
    """
    warnings: list[str] = []
    for concern in eviction.concerns(info):
        if concern.fatal:
            raise PermanentError(
                f"the online store: {concern.message}; nothing was written", hint=concern.hint
            )
        warnings.append(f"the online store: {concern.message}; {concern.hint}")
    return warnings


def _claim(program: Program, warehouse: Warehouse, store: OnlineStore, now: datetime) -> str:
    """Check that the values belong to this warehouse or to nobody; return the warehouse's id."""
    known = identity.read(warehouse)
    if known is None:
        # Deployed by an earlier version of controlplane; the next deploy creates an identity.
        claims.check(store, program.namespace, None, program.schema)
        return ""
    claims.claim(store, program.namespace, warehouse, known, program.schema, now)
    claims.check_cursor(_cursor(program, store).read(), program.namespace, known)
    return known.id


def _rows_of(program: Program, warehouse: Warehouse, sql: str, begun: Begun, shard: int) -> str:
    query = f"SELECT * FROM ({sql.rstrip().rstrip(';')}\n) AS newest WHERE version > {begun.cursor}"
    if begun.shards == 1:
        return query
    d = dialect(warehouse.dialect)
    return (
        f"{query} AND"
        f" {d.shard_of([d.quote(name) for name, _ in program.layout.keys], begun.shards)} = {shard}"
    )


def _cursor(program: Program, store: OnlineStore) -> SyncCursor:
    return SyncCursor(store, program.namespace, program.view, program.fingerprint)
