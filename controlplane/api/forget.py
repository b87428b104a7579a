"""Erase an entity: its rows in feature tables and training sets, and its online values.

The order of the steps makes a stopped erasure and a concurrent sync harmless:

1. Take the head of each version, so that a publication that is under way gives up.
2. Write tombstones online. They reject values that a sync has already read.
3. Delete the rows, in one transaction if the warehouse has transactions.
4. Write the tombstones again, newer than those of any sync that ran meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from controlplane import codec
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Statement, Warehouse
from controlplane.base.types import EPOCH, MICROSECOND, micros
from controlplane.codec.batch import row_keys
from controlplane.codec.compare import tombstone_records
from controlplane.compile.features import KEY_TYPES
from controlplane.control import identity, ledger
from controlplane.deploy import executor
from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.online import claims
from controlplane.online.records import SyncCursor
from controlplane.release.program import Program, build
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified
from controlplane.training import listed
from controlplane.workspace.project import Project

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES = (naming.tiles, naming.rollups, naming.history, naming.history_replaced, naming.latest)
_BURIED_AT_ONCE = 10_000  # keys per write: bounds the memory of an entity with many keys


@dataclass(frozen=True)
class Erased:
    """A table (`schema.name`) and its rows of the entity: before (`rows`) and now (`left`)."""

    table: str
    rows: int
    left: int


@dataclass(frozen=True)
class Erasure:
    """What was erased, or would be.

    Args:
        tables: all tables that were searched.
        online: number of online keys with a tombstone, which expires after a week.
        standing: number of these keys that have a value nevertheless, written by a sync.
        sources: raw tables that still have rows of the entity: `schema.name` -> number of rows. A
            run that reads them computes the entity's features again.
        at: time of the erasure; None if nothing was written.
    """

    tables: Sequence[Erased]
    online: int
    standing: int
    sources: Mapping[str, int]
    at: datetime | None

    @property
    def left(self) -> int:
        """Return how many rows and online values remain."""
        return sum(table.left for table in self.tables) + self.standing


@dataclass(frozen=True)
class _Version:
    """A version of a view that has all key columns of the entity."""

    program: Program
    view: ViewSpec
    tables: Mapping[str, str]  # plain name -> quoted name
    sources: Sequence[str]  # raw tables that have the keys


def forget(
    project: Project,
    keys: Mapping[str, str],
    *,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Erasure:
    """See `ControlPlane.forget`.

    Raises:
        PlaneError: no view has these key columns, or a value is not of its key's type, or another
            warehouse wrote the online values.
    """
    project.current()
    known = ((manifest, view) for _, manifest, view in project.versions())
    with project.state.lock(
        # The lock of runs: a run must not publish rows of the entity between two steps.
        f"{project.environment.name}/run",
        holder=executor.holder(),
        purpose="forget",
        now=project.clock,
    ):
        return _erase(
            known, project.warehouse, project.store, keys, project.clock, dry_run, on_step
        )


def _erase(
    known: Iterable[tuple[Manifest, ViewSpec]],
    warehouse: Warehouse,
    store: OnlineStore | None,
    keys: Mapping[str, str],
    clock: Callable[[], datetime],
    dry_run: bool,
    on_step: Callable[[str], None],
) -> Erasure:
    """Erase from the `known` versions: all that were deployed, newest first."""
    d = dialect(warehouse.dialect)
    versions = _versions(known, d, keys)
    if store is not None:
        first = versions[0].program
        claims.check(store, first.namespace, identity.read(warehouse), first.schema)
    on_step("count")
    trained = {
        f"{naming.DATASETS}.{naming.dataset(c.name, c.version)}": c.table
        for c in listed.existing(warehouse)
    }
    named = {
        plain: quoted for version in versions for plain, quoted in version.tables.items()
    } | trained
    raw = sorted({table for version in versions for table in version.sources})
    columns = warehouse.columns([*named, *raw])
    with_keys = {
        plain: quoted for plain, quoted in named.items() if set(keys) <= set(columns[plain] or ())
    }
    # A key may have had another type in an earlier version. A value that is not of that type has no
    # rows in that version's tables.
    newest = {
        key: key_type
        for version in reversed(versions)
        for key, key_type in version.view.keys
        if key in keys
    }
    _typed(newest, keys)
    conditions = {
        name: _condition(d, columns[name] or {}, newest, keys) for name in [*with_keys, *raw]
    }
    before = _counts(warehouse, with_keys, conditions)
    remaining = _counts(warehouse, {table: table for table in raw}, conditions)
    sources = {table: count for table, count in remaining.items() if count}
    if dry_run:
        return Erasure(
            [Erased(name, count, count) for name, count in before.items()], 0, 0, sources, None
        )
    affected = [
        version for version in versions if any(table in with_keys for table in version.tables)
    ]
    on_step("update the heads")
    warehouse.execute([_take(d, version.program) for version in affected], tag="forget")
    buried: list[tuple[_Version, list[bytes]]] = []
    if store is not None:
        synced = [version for version in affected if _cursor(store, version.program).read().exists]
        buried = [
            (version, _online_keys(version, warehouse, with_keys, conditions, keys))
            for version in synced
        ]
    on_step("online values")
    online = _bury(store, warehouse, buried, clock)
    on_step("tables")
    work = [_take(d, version.program) for version in affected]
    for name, quoted in with_keys.items():
        if conditions[name]:
            work.append(
                Statement(f"forget in {name}", f"DELETE FROM {quoted} WHERE {conditions[name]}")
            )
    warehouse.execute(work, tag="forget", atomic=True)
    # A sync may have written values meanwhile that it had read before the rows were deleted.
    on_step("online values")
    _bury(store, warehouse, buried, clock)
    on_step("count again")
    after = _counts(warehouse, with_keys, conditions)
    tables = [Erased(name, count, after[name]) for name, count in before.items()]
    return Erasure(tables, online, _standing(store, buried), sources, clock())


def _versions(
    known: Iterable[tuple[Manifest, ViewSpec]], d: Dialect, keys: Mapping[str, str]
) -> list[_Version]:
    versions: list[_Version] = []
    others: set[str] = set()
    for manifest, view in known:
        if not set(keys) <= {name for name, _ in view.keys}:
            others.add(", ".join(name for name, _ in view.keys))
            continue
        names = [table(view.name, view.fingerprint) for table in _TABLES]
        tables = {
            f"{manifest.schema}.{name}": qualified(d, manifest.schema, name) for name in names
        }
        read = [manifest.source(name) for name in view.sources]
        raw = [
            s.table
            for s in read
            if manifest.read_view(s) is None and set(keys) <= set(dict(s.columns))
        ]
        versions.append(_Version(build(manifest, view), view, tables, raw))
    if not versions:
        hint = f"the keys of feature views are: {'; '.join(sorted(others))}"
        raise PlaneError(f"no feature view has the keys {', '.join(keys)}", hint=hint)
    return versions


def _typed(types: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    layout = codec.Layout(keys=tuple(types.items()), fields=(codec.Field("any", "bool"),))
    return {
        name: (value, types[name]) for name, value in codec.parse_key_text(layout, keys).items()
    }


def _condition(
    d: Dialect, columns: Mapping[str, str], newest: Mapping[str, str], keys: Mapping[str, str]
) -> str:
    """Return the SQL condition of the entity's rows in a table; "" if it can't have any.

    A raw table's column may be of a type that is no key type, such as a narrower number. The value
    then has the key type of the newest version.
    """
    if not set(keys) <= set(columns):
        return ""
    types = {key: columns[key] if columns[key] in KEY_TYPES else newest[key] for key in keys}
    try:
        typed = _typed(types, keys)
    except PlaneError:
        return ""
    return " AND ".join(
        f"{d.quote(name)} = {d.literal(micros(v) if key_type == 'timestamp' else v, key_type)}"
        for name, (v, key_type) in typed.items()
    )


def _counts(
    warehouse: Warehouse, tables: Mapping[str, str], conditions: Mapping[str, str]
) -> dict[str, int]:
    counts = {}
    for name, quoted in tables.items():
        if condition := conditions.get(name):
            [row] = ledger.rows(
                warehouse, f"SELECT count(*) AS row_count FROM {quoted} WHERE {condition}"
            )
            counts[name] = int(row["row_count"])
        else:
            counts[name] = 0
    return counts


def _cursor(store: OnlineStore, program: Program) -> SyncCursor:
    return SyncCursor(store, program.namespace, program.view, program.fingerprint)


def _take(d: Dialect, program: Program) -> Statement:
    """Return the statement that takes the head, so that a publication under way gives up."""
    # `version + 1`: larger than the last publication even if the warehouse's clock went back.
    run_id = d.text(f"forget-{uuid.uuid4().hex}")
    sql = (
        f"UPDATE {program.head} SET version = greatest(version + 1, {d.clock_micros()}), run_id ="
        f" {run_id}"
    )
    return Statement(f"update the head of {program.view}", sql)


def _online_keys(
    version: _Version,
    warehouse: Warehouse,
    with_keys: Mapping[str, str],
    conditions: Mapping[str, str],
    keys: Mapping[str, str],
) -> list[bytes]:
    program = version.program
    prefix = naming.online_prefix(program.namespace, program.view, program.fingerprint)
    if {name for name, _ in program.layout.keys} == set(keys):
        # Computed without the tables: after an erasure that was stopped when the rows were already
        # deleted, the next erasure can still write the tombstones.
        try:
            return [
                codec.online_key(prefix, program.layout, codec.parse_key_text(program.layout, keys))
            ]
        except PlaneError:
            return []
    d = dialect(warehouse.dialect)
    latest = f"{program.schema}.{naming.latest(program.view, program.fingerprint)}"
    if latest not in with_keys or not conditions[latest]:
        return []
    listed = ", ".join(d.quote(name) for name, _ in program.layout.keys)
    query = f"SELECT {listed} FROM {with_keys[latest]} WHERE {conditions[latest]}"
    batches: list[pa.RecordBatch] = list(warehouse.fetch(query, tag=program.tag("forget")))
    return [key for batch in batches for key in row_keys(batch, program.layout, prefix).to_pylist()]


def _bury(
    store: OnlineStore | None,
    warehouse: Warehouse,
    versions: Sequence[tuple[_Version, list[bytes]]],
    clock: Callable[[], datetime],
) -> int:
    """Write tombstones with the head's version under the keys; return how many."""
    if store is None:
        return 0
    count = 0
    for version, keys in versions:
        head_version = ledger.head(warehouse, version.program.head).version
        for start in range(0, len(keys), _BURIED_AT_ONCE):
            now_ms = (clock() - EPOCH) // MICROSECOND // 1000
            result = store.write(
                [tombstone_records(keys[start : start + _BURIED_AT_ONCE], head_version, now_ms)]
            )
            count += result.written + result.kept_newer
    return count


def _standing(store: OnlineStore | None, versions: Sequence[tuple[_Version, list[bytes]]]) -> int:
    """Return how many of the keys have a value that is no tombstone."""
    if store is None:
        return 0
    count = 0
    for version, keys in versions:
        decode = codec.decoder(version.program.layout)
        for start in range(0, len(keys), _BURIED_AT_ONCE):
            rows = decode(store.read(keys[start : start + _BURIED_AT_ONCE]))
            # A tombstone has two items, version and time; in a value, the features follow them.
            count += sum(row is not None and len(row) > 2 for row in rows)
    return count
