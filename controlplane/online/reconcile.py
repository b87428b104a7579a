"""Compares the online store with the warehouse's newest rows, key by key, and heals it where it is
asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import EPOCH
from controlplane.control import identity, ledger
from controlplane.online import claims
from controlplane.online.records import SyncCursor
from controlplane.release.program import Program

if TYPE_CHECKING:
    import pyarrow as pa

    from controlplane.codec.compare import KeySet

_ASKED = 1000  # keys that are read at once: a server answers nobody else meanwhile
_MILLISECOND = timedelta(milliseconds=1)


@dataclass
class Reconciled:
    """One version of a view in the online store, by keys. Every row of the warehouse is of one
    kind; `extra` are keys that it has no row for.

    Args:
        view: the feature view.
        fingerprint: its version.
        served: whether readers are given this version now.
        rows: the warehouse's newest rows, deleted ones included.
        right: as the row says: the value and its expiry, or nothing where it is deleted or has
            expired.
        newer: written since the rows were read, by a sync that goes on.
        pending: published since the last sync; the next one writes them.
        missing: not there.
        wrong: of another value, or of a version that no publication had.
        expiry: of the right value, which expires at another time.
        extra: there without a row.
        healed: written again, or buried under a tombstone.
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
        """How many keys are still not as they should be."""
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

    Syncs may go on meanwhile: what they write is newer, not wrong.

    Args:
        program: the version.
        warehouse: read in one snapshot.
        store: read, and with `heal` written with compare-and-set: never over what a sync wrote
            meanwhile.
        sql: the version's newest rows.
        served: whether readers are given this version.
        clock: the wall clock.
        heal: write what is missing or wrong again, and put tombstones under extra keys.
        on_rows: told how many rows are compared, of how many.

    Raises:
        PermanentError: the store holds the values of another warehouse.
    """
    claims.check(store, program.namespace, identity.read(warehouse), program.schema)
    # lazy: Arrow's kernels take a tenth of a second to import, and a plan needs none
    from controlplane.codec.batch import encode_batch

    # lazy: as above
    from controlplane.codec.compare import KeySet, compare, tombstone_records

    found = Reconciled(program.view, program.fingerprint, served)
    # Before the rows: what is published up to here has been written, and none of it is newer than
    # they are.
    synced = SyncCursor(store, program.namespace, program.view, program.fingerprint).read().version
    newest = ledger.head(warehouse, program.head).version
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
                [value for some in _parts(names) for value in store.read(some)],
                [expiry for some in _parts(names) for expiry in store.expiries(some)],
                write_version=newest,
                synced=synced,
                now_ms=_ms(clock()),
                exact_expiry=program.now is None,
            )
            done += len(records)
            for kind, count in outcome.counts.items():
                setattr(found, kind, getattr(found, kind) + count)
            if heal and outcome.bad.num_rows:
                found.healed += _written(store, outcome.bad)
        found.rows += done
        on_rows(found.rows, counted["row_count"])
    for extra in _extra(store, keys, prefix, newest):
        found.extra += len(extra)
        if heal:
            found.healed += _written(store, tombstone_records(extra, newest, _ms(clock())))
    if found.newer and ledger.head(warehouse, program.head).version == newest:
        found.wrong, found.newer = found.wrong + found.newer, 0
    return found


def _extra(store: OnlineStore, keys: KeySet, prefix: bytes, newest: int) -> Iterator[list[bytes]]:
    """Keys of values that are not newer than the rows, without a row; each once."""
    # lazy: as above
    from controlplane.codec.compare import keys_of_older_values

    told: set[bytes] = set()
    for some in store.keys(prefix + b"{"):
        candidates = [key for key in dict.fromkeys(keys.without(some)) if key not in told]
        for part in _parts(candidates):
            if extra := keys_of_older_values(part, store.read(part), newest):
                told.update(extra)
                yield extra


def _written(store: OnlineStore, records: pa.RecordBatch) -> int:
    """Write some records; what a sync has overtaken meanwhile is as it should be, too."""
    count = store.write([records])
    return count.written + count.kept_newer


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _ASKED):
        yield keys[start : start + _ASKED]


def _ms(instant: datetime) -> int:
    return (instant - EPOCH) // _MILLISECOND
