"""Compares the online store with the warehouse's newest rows, key by key, and can heal it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import EPOCH
from controlplane.codec.batch import encode_batch
from controlplane.codec.compare import KeySet, compare, keys_of_older_values, tombstone_records
from controlplane.control import identity, ledger
from controlplane.online import claims
from controlplane.online.records import SyncCursor
from controlplane.release.program import Program

if TYPE_CHECKING:
    import pyarrow as pa


_ASKED = 1000  # keys that are read at once: a server answers nobody else meanwhile
_MILLISECOND = timedelta(milliseconds=1)


@dataclass
class Reconciled:
    """The numbers of keys of one version of a view in the online store, by state.

    Every row of the warehouse has one state from `right` to `expiry`. `extra` keys have no row.

    Args:
        view: the feature view.
        fingerprint: the view's version.
        served: whether readers read this version now.
        rows: the warehouse's newest rows, including deleted ones.
        right: keys that agree with their row: the same value and expiry, or no value if the row is
            deleted or has expired.
        newer: keys that a concurrent sync wrote after the rows were read.
        pending: keys that were published after the last sync; the next one writes them.
        missing: keys that the store lacks.
        wrong: keys with another value, or of a version that no publication had.
        expiry: keys with the right value that expires at the wrong time.
        extra: keys without a row.
        healed: keys that were written again or replaced with a tombstone.
    """

    view: str
    fingerprint: str
    served: bool
    rows: int = 0
    right: int = 0
    newer: int = 0
    pending: int = 0
    missing: int = 0
    wrong: int = 0
    expiry: int = 0
    extra: int = 0
    healed: int = 0

    @property
    def unhealed(self) -> int:
        """The number of keys that are still wrong."""
        return self.missing + self.wrong + self.expiry + self.extra - self.healed


def reconcile(
    program: Program,
    warehouse: Warehouse,
    store: OnlineStore,
    sql: str,
    *,
    served: bool,
    clock: Callable[[], datetime],
    heal: bool = False,
    on_rows: Callable[[int, int], None] = lambda _done, _total: None,
) -> Reconciled:
    """Compare one version of a view.

    Syncs may run at the same time: the values that they write are newer, not wrong.

    Args:
        program: the version.
        warehouse: read in one snapshot.
        store: read, and with `heal` also written. A compare-and-set never replaces a value that a
            sync wrote in the meantime.
        sql: the query for the version's newest rows.
        served: whether readers read this version.
        clock: the wall clock.
        heal: write missing and wrong values again, and replace extra keys with tombstones.
        on_rows: receives the number of compared rows and of all rows.

    Raises:
        PermanentError: the store holds the values of another warehouse.
    """
    claims.check(store, program.namespace, identity.read(warehouse), program.schema)
    result = Reconciled(program.view, program.fingerprint, served)
    # Read before the rows: every publication up to this version has been written, and none of them
    # is newer than the rows.
    synced = SyncCursor(store, program.namespace, program.view, program.fingerprint).read().version
    newest = ledger.synced_version(warehouse, program)
    prefix = naming.online_prefix(program.namespace, program.view, program.fingerprint)
    query = sql.rstrip().rstrip(";")
    [counted] = ledger.rows(warehouse, f"SELECT COUNT(*) AS row_count FROM ({query}\n) AS newest")
    keys = KeySet()
    for batch in warehouse.fetch(query, tag=program.tag("verify")):
        if batch.num_rows == 0:
            continue
        newest, wall = batch.column("write_version")[0].as_py(), clock()
        shift = wall - program.now if program.now is not None else timedelta(0)
        done = 0
        for records in encode_batch(
            batch, program.layout, prefix, write_version=newest, expiry_shift=shift, now=wall
        ):
            keys.add(records.column("key"))
            names = records.column("key").to_pylist()
            outcome = compare(
                records,
                batch.slice(done, len(records)),
                [value for names in _parts(names) for value in store.read(names)],
                [expiry for names in _parts(names) for expiry in store.expiries(names)],
                write_version=newest,
                synced=synced,
                now_ms=_ms(clock()),
                exact_expiry=program.now is None,
            )
            done += len(records)
            for state, count in outcome.counts.items():
                setattr(result, state, getattr(result, state) + count)
            if heal and outcome.bad.num_rows:
                result.healed += _written(store, outcome.bad)
        result.rows += done
        on_rows(result.rows, counted["row_count"])
    for extra in _extra(store, keys, prefix, newest):
        result.extra += len(extra)
        if heal:
            result.healed += _written(store, tombstone_records(extra, newest, _ms(clock())))
    # Without a new publication no sync could have written a newer value.
    if result.newer and ledger.synced_version(warehouse, program) == newest:
        result.wrong, result.newer = result.wrong + result.newer, 0
    return result


def _extra(store: OnlineStore, keys: KeySet, prefix: bytes, newest: int) -> Iterator[list[bytes]]:
    """Yield the keys without a row whose values are not newer than the rows, each once."""
    yielded: set[bytes] = set()
    for names in store.keys(prefix + b"{"):
        candidates = [key for key in dict.fromkeys(keys.without(names)) if key not in yielded]
        for part in _parts(candidates):
            if extra := keys_of_older_values(part, store.read(part), newest):
                yielded.update(extra)
                yield extra


def _written(store: OnlineStore, records: pa.RecordBatch) -> int:
    """Write records; return the number of keys that are right now, by this or a newer write."""
    count = store.write([records])
    return count.written + count.kept_newer


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _ASKED):
        yield keys[start : start + _ASKED]


def _ms(instant: datetime) -> int:
    return (instant - EPOCH) // _MILLISECOND
