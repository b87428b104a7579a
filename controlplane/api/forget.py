"""Erases an entity: its rows in every table that is made here, and its values in the online store.

The order makes a run that was stopped, or a sync that goes on meanwhile, harmless: the head of each
version is taken first, so that a publication under way gives up; tombstones keep out what a sync
has read already; then the rows go, all together where the warehouse has transactions; and then the
tombstones are written once more, newer than any such sync.
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
from controlplane.training import datasets
from controlplane.workspace.project import Project

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES = (naming.tiles, naming.rollups, naming.history, naming.history_replaced, naming.latest)
_BURIED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Erased:
    """A table (`schema.name`), the rows that it held of the entity, and those that it holds now."""

    table: str
    rows: int
    left: int


@dataclass(frozen=True)
class Erasure:
    """What was erased, or would be.

    Args:
        tables: every table that was looked at.
        online: keys of the online store under which tombstones were put; those go after a week.
        standing: of these keys, those that hold a value all the same.
        sources: raw tables that still hold rows of the entity, as `schema.name` -> rows: a run that
            reads them computes its features anew.
        at: when; None where nothing was written.
    """

    tables: Sequence[Erased]
    online: int
    standing: int
    sources: Mapping[str, int]
    at: datetime | None

    @property
    def left(self) -> int:
        """Rows and online values that are still there."""
        return sum(one.left for one in self.tables) + self.standing


@dataclass(frozen=True)
class _Version:
    """One version of a view that has the keys."""

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
        PlaneError: no view has such keys, or a value is not of its type, or the store holds the
            values of another warehouse.
    """
    project.current()
    known = ((manifest, view) for _, manifest, view in project.versions())
    with project.state.lock(
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
    """Erase from every version that was deployed (the newest first), each with a manifest that has
    it."""
    d = dialect(warehouse.dialect)
    versions = _versions(known, d, keys)
    if store is not None:
        first = versions[0].program
        claims.check(store, first.namespace, identity.read(warehouse), first.schema)
    on_step("count")
    trained = {
        f"{naming.DATASETS}.{naming.dataset(c.name, c.version)}": c.table
        for c in datasets.existing(warehouse)
    }
    named = {plain: quoted for one in versions for plain, quoted in one.tables.items()} | trained
    raw = sorted({table for one in versions for table in one.sources})
    columns = warehouse.columns([*named, *raw])
    there = {
        plain: quoted for plain, quoted in named.items() if set(keys) <= set(columns[plain] or ())
    }
    # A key may have had another type in an earlier version, and then a value that is none of it has
    # no rows there.
    newest = {key: kind for one in reversed(versions) for key, kind in one.view.keys if key in keys}
    _typed(newest, keys)
    conditions = {name: _condition(d, columns[name] or {}, newest, keys) for name in [*there, *raw]}
    before = _counts(warehouse, there, conditions)
    remaining = _counts(warehouse, {table: table for table in raw}, conditions)
    sources = {table: count for table, count in remaining.items() if count}
    if dry_run:
        return Erasure(
            [Erased(name, count, count) for name, count in before.items()], 0, 0, sources, None
        )
    alive = [one for one in versions if any(table in there for table in one.tables)]
    on_step("take the heads")
    warehouse.execute([_take(d, one.program) for one in alive], tag="forget")
    buried: list[tuple[_Version, list[bytes]]] = []
    if store is not None:
        synced = [one for one in alive if _cursor(store, one.program).read().exists]
        buried = [(one, _online_keys(one, warehouse, there, conditions, keys)) for one in synced]
    on_step("online values")
    online = _bury(store, warehouse, buried, clock)
    on_step("tables")
    work = [_take(d, one.program) for one in alive]
    for name, quoted in there.items():
        if conditions[name]:
            work.append(
                Statement(f"forget in {name}", f"DELETE FROM {quoted} WHERE {conditions[name]}")
            )
    warehouse.execute(work, tag="forget", atomic=True)
    on_step("online values")
    _bury(store, warehouse, buried, clock)
    on_step("prove")
    after = _counts(warehouse, there, conditions)
    tables = [Erased(name, count, after[name]) for name, count in before.items()]
    return Erasure(tables, online, _standing(store, buried), sources, clock())


def _versions(
    known: Iterable[tuple[Manifest, ViewSpec]], d: Dialect, keys: Mapping[str, str]
) -> list[_Version]:
    found: list[_Version] = []
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
        found.append(_Version(build(manifest, view), view, tables, raw))
    if not found:
        hint = f"keys are: {'; '.join(sorted(others))}"
        raise PlaneError(f"no feature view has the keys {', '.join(keys)}", hint=hint)
    return found


def _typed(types: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    layout = codec.Layout(keys=tuple(types.items()), fields=(codec.Field("any", "bool"),))
    return {
        name: (value, types[name]) for name, value in codec.parse_key_text(layout, keys).items()
    }


def _condition(
    d: Dialect, columns: Mapping[str, str], newest: Mapping[str, str], keys: Mapping[str, str]
) -> str:
    """What is true of the entity's rows in a table of these columns; empty where none can be.

    A raw table's column may be of a type that no key has, such as a narrower number: it is compared
    as the newest.
    """
    if not set(keys) <= set(columns):
        return ""
    kinds = {key: columns[key] if columns[key] in KEY_TYPES else newest[key] for key in keys}
    try:
        typed = _typed(kinds, keys)
    except PlaneError:
        return ""
    return " AND ".join(
        f"{d.quote(name)} = {d.literal(micros(value) if kind == 'timestamp' else value, kind)}"
        for name, (value, kind) in typed.items()
    )


def _counts(
    warehouse: Warehouse, tables: Mapping[str, str], conditions: Mapping[str, str]
) -> dict[str, int]:
    found = {}
    for name, quoted in tables.items():
        if condition := conditions.get(name):
            [row] = ledger.rows(
                warehouse, f"SELECT count(*) AS row_count FROM {quoted} WHERE {condition}"
            )
            found[name] = int(row["row_count"])
        else:
            found[name] = 0
    return found


def _cursor(store: OnlineStore, program: Program) -> SyncCursor:
    return SyncCursor(store, program.namespace, program.view, program.fingerprint)


def _take(d: Dialect, program: Program) -> Statement:
    """Become the newest publication of a version, so that one that is under way gives up."""
    run_id = d.text(f"forget-{uuid.uuid4().hex}")
    sql = (
        f"UPDATE {program.head} SET version = greatest(version + 1, {d.clock_micros()}), run_id ="
        f" {run_id}"
    )
    return Statement(f"take the head of {program.view}", sql)


def _online_keys(
    one: _Version,
    warehouse: Warehouse,
    there: Mapping[str, str],
    conditions: Mapping[str, str],
    keys: Mapping[str, str],
) -> list[bytes]:
    program = one.program
    prefix = naming.online_prefix(program.namespace, program.view, program.fingerprint)
    if {name for name, _ in program.layout.keys} == set(keys):
        # Said by the keys alone: an erasure that was stopped when the rows were gone is finished by
        # the next.
        try:
            return [
                codec.online_key(prefix, program.layout, codec.parse_key_text(program.layout, keys))
            ]
        except PlaneError:
            return []
    d = dialect(warehouse.dialect)
    latest = f"{program.schema}.{naming.latest(program.view, program.fingerprint)}"
    if latest not in there or not conditions[latest]:
        return []
    listed = ", ".join(d.quote(name) for name, _ in program.layout.keys)
    query = f"SELECT {listed} FROM {there[latest]} WHERE {conditions[latest]}"
    batches: list[pa.RecordBatch] = list(warehouse.fetch(query, tag=program.tag("forget")))
    return [key for batch in batches for key in row_keys(batch, program.layout, prefix).to_pylist()]


def _bury(
    store: OnlineStore | None,
    warehouse: Warehouse,
    versions: Sequence[tuple[_Version, list[bytes]]],
    clock: Callable[[], datetime],
) -> int:
    """Put tombstones of the head's version under the keys; returns how many."""
    if store is None:
        return 0
    count = 0
    for one, keys in versions:
        version = ledger.head(warehouse, one.program.head).version
        for start in range(0, len(keys), _BURIED_AT_ONCE):
            now_ms = (clock() - EPOCH) // MICROSECOND // 1000
            found = store.write(
                [tombstone_records(keys[start : start + _BURIED_AT_ONCE], version, now_ms)]
            )
            count += found.written + found.kept_newer
    return count


def _standing(store: OnlineStore | None, versions: Sequence[tuple[_Version, list[bytes]]]) -> int:
    """How many of the keys hold anything but a tombstone."""
    if store is None:
        return 0
    count = 0
    for one, keys in versions:
        decode = codec.decoder(one.program.layout)
        for start in range(0, len(keys), _BURIED_AT_ONCE):
            rows = decode(store.read(keys[start : start + _BURIED_AT_ONCE]))
            count += sum(row is not None and len(row) > 2 for row in rows)
    return count
