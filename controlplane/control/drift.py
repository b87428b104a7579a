"""What went missing or was altered in the warehouse since it was deployed.

Every table, public view and control table of the deployed versions is compared with the
warehouse's catalogue: by the text that made it where the catalogue keeps that, else by its columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from controlplane.base import naming
from controlplane.base.ports import Warehouse, described
from controlplane.base.types import Interval, utc
from controlplane.control import ledger
from controlplane.control.columns import Catalogue, differences
from controlplane.errors import PermanentError
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.manifest.timing import timing
from controlplane.sql import control_tables, objects
from controlplane.sql.control_tables import (
    DEPLOYED,
    IDENTITY,
    LEDGER,
    METRICS,
    OWNERS,
    PUBLIC_VIEWS,
)
from controlplane.sql.data_tables import DataTable
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.objects import PublicView
from controlplane.sql.tables import qualified

Entries = Mapping[tuple[str, str], Sequence[ledger.Entry]]
# Tables in one query. A thousand, where all views lack their last interval, would take a tenth of a
# plan's time; their missing intervals are listed and computed all the same.
_HEADS_READ = 100
MISSING = "is missing"
"""The problem of an object that is not there."""


class Damage(msgspec.Struct, frozen=True):
    """One object that is missing or altered: its name (`schema.table`), and what is wrong.

    `outdated` says that an earlier version made it so: runs go on until a deploy changes it.
    """

    name: str
    problem: str
    outdated: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.problem}"


class Widening(msgspec.Struct, frozen=True):
    """A column whose type a deploy makes wider; its values stay.

    Attributes:
        table: the table's quoted name.
        column: the column's.
        type: the type it gets.
        members: of a list of structs, those that change.
    """

    table: str
    column: str
    type: str
    members: tuple[str, ...] = ()


class Drift(msgspec.Struct, frozen=True):
    """What is wrong with one version of a view, or (`view` empty) with what all views share.

    Attributes:
        view: its name.
        fingerprint: its version.
        damages: the objects.
        dropped: quoted names of altered tables, which a deploy drops and makes again.
        recomputed: whether a deploy clears the version's ledger, so that a run computes all of it.
        computed_through: what a deploy sets the head's frontier to; None: it stays.
        reopened: whether a deploy makes the public views again.
        widened: columns of an earlier version's tables that hold too little.
    """

    view: str
    fingerprint: str
    damages: tuple[Damage, ...]
    dropped: tuple[str, ...] = ()
    recomputed: bool = False
    computed_through: datetime | None = None
    reopened: bool = False
    widened: tuple[Widening, ...] = ()


def find(
    warehouse: Warehouse,
    manifest: Manifest,
    views: Sequence[ViewSpec],
    entries: Entries,
    now: datetime,
) -> list[Drift]:
    """Compare what was deployed with what the warehouse has.

    Args:
        warehouse: only read.
        manifest: the deployed one.
        views: those of its views that are looked at.
        entries: the ledger's, see `control.ledger.entries`.
        now: the environment's now.
    """
    if not views:
        return []
    d = dialect(manifest.dialect)
    control = _control_tables(manifest)
    there = warehouse.columns(control)
    shared = [Damage(name, MISSING) for name in control if there[name] is None]
    # Earlier versions of controlplane made neither table: the next deploy does, without a word.
    if {IDENTITY.plain, OWNERS.plain} <= {damage.name for damage in shared}:
        shared = [damage for damage in shared if damage.name not in (IDENTITY.plain, OWNERS.plain)]
    shared += _unlisted(manifest, views, ledger.deployed_versions(warehouse))
    doors = ledger.shown_versions(warehouse)
    checks = [_ViewCheck(manifest, view, doors) for view in views]
    right = objects.unaltered(
        d,
        (made for check in checks for made in check.objects),
        _definitions(warehouse, manifest.schema),
    )
    doubtful = [check for check in checks if not right.issuperset(check.names)]
    found = []
    if doubtful:
        catalogue = {
            **warehouse.columns([name for check in doubtful for name in check.table_names]),
            **_view_columns(warehouse, [name for check in doubtful for name in check.view_names]),
        }
        types = _types(warehouse, d, [table for check in doubtful for table in check.tables])
        found = [drift for check in doubtful if (drift := check.compare(catalogue, types))]
    damaged = {drift.view for drift in found}
    whole = [view for view in views if view.name not in damaged]
    found += _lost_publications(warehouse, manifest, whole, entries, now)
    return [*([Drift("", "", tuple(shared))] if shared else []), *found]


def without_lost(entries: Entries, drifts: Iterable[Drift], schema: str) -> Entries:
    """Return the ledger's entries without those of versions that are computed again."""
    lost = {(f"{schema}.{drift.view}", drift.fingerprint) for drift in drifts if drift.recomputed}
    return {key: publications for key, publications in entries.items() if key not in lost}


class _ViewCheck:
    """One deployed version of a view: what it should have in the warehouse."""

    def __init__(self, manifest: Manifest, view: ViewSpec, doors: Mapping[str, str]) -> None:
        self._manifest, self._view = manifest, view
        self.tables = objects.tables(manifest, view)
        self._public = objects.public_views(manifest, view, self.tables)
        self._shown = doors.get(f"{manifest.schema}.{view.name}")
        self._shown_tables: dict[str, str] = {}
        if self._shown is not None and self._shown != view.fingerprint:
            d = dialect(manifest.dialect)
            for part in naming.PARTS:
                name = getattr(naming, part)(view.name, self._shown)
                self._shown_tables[f"{manifest.schema}.{name}"] = qualified(
                    d, manifest.schema, name
                )

    @property
    def objects(self) -> Iterable[DataTable | PublicView]:
        """What can be told by its definition."""
        if self._shown == self._view.fingerprint:
            return (*self.tables, *self._public)
        return self.tables

    @property
    def names(self) -> list[str]:
        """Quoted names of all that is asked for."""
        return [*self.table_names, *self.view_names]

    @property
    def table_names(self) -> list[str]:
        """Quoted names of the tables."""
        return [*(table.quoted for table in self.tables), *self._shown_tables.values()]

    @property
    def view_names(self) -> list[str]:
        """Quoted names of the public views."""
        return [view.quoted for view in self._public]

    def compare(self, catalogue: Catalogue, types: Mapping[str, str]) -> Drift | None:
        """What is wrong; None if nothing is."""
        view = self._view
        damages: list[Damage] = []
        dropped: list[str] = []
        widened: list[Widening] = []
        lost = False
        for table in self.tables:
            columns = catalogue[table.quoted]
            narrow = {} if columns is None else self._narrow(table, columns, types)
            seen = {**(columns or {}), **{name: types[table.columns[name]] for name in narrow}}
            problem = MISSING if columns is None else self._altered(table, seen, types)
            if narrow and not problem:
                kept = ", ".join(narrow)
                problem = f"is of an earlier version, with sums of 64 bits: {kept}"
                damages.append(Damage(table.plain, problem, outdated=True))
                widened += narrow.values()
            elif problem:
                damages.append(Damage(table.plain, problem))
                lost = lost or table.derived
                if columns is not None:
                    dropped.append(table.quoted)
        damaged = {table.part for table in self.tables if table.plain in {d.name for d in damages}}
        opened = self._public_damages(catalogue, damaged)
        if not damages and not opened:
            return None
        return Drift(
            view.name,
            view.fingerprint,
            (*damages, *opened),
            tuple(dropped),
            recomputed=lost,
            computed_through=view.start if lost else None,
            reopened=bool(opened) or self._shown == view.fingerprint,
            widened=tuple(widened),
        )

    def _narrow(
        self, table: DataTable, columns: Mapping[str, str], types: Mapping[str, str]
    ) -> dict[str, Widening]:
        """Sums as tables had them before parts of a sum could be larger than 64 bits."""
        d = dialect(self._manifest.dialect)
        sums = objects.wide_sums(self._manifest, self._view) if table.part == "tiles" else {}
        found = {}
        for name, kind in table.columns.items():
            earlier = _of_64_bits(d, kind)
            if d.quote(name) in sums and columns.get(name) == types[earlier] != types[kind]:
                found[name] = Widening(table.quoted, d.quote(name), kind, sums[d.quote(name)])
        return found

    def _altered(
        self, table: DataTable, columns: Mapping[str, str], types: Mapping[str, str]
    ) -> str:
        expected = {self._stored(name): types[kind] for name, kind in table.columns.items()}
        return differences(expected, columns)

    def _public_damages(self, catalogue: Catalogue, damaged: Collection[str]) -> list[Damage]:
        """What is wrong with the public views; those over damaged tables are made again anyway."""
        if self._shown is None:
            return [Damage(PUBLIC_VIEWS.plain, f"does not list feature view {self._view.name}")]
        damages = [
            Damage(name, f"{MISSING}, which public views show")
            for name, quoted in self._shown_tables.items()
            if catalogue[quoted] is None
        ]
        for view in self._public:
            columns = catalogue[view.quoted]
            if self._shown == self._view.fingerprint and view.table.part in damaged:
                continue
            if columns is None:
                damages.append(Damage(view.plain, MISSING))
            elif self._shown == self._view.fingerprint:
                expected = [self._stored(name) for name in view.columns]
                if expected != list(columns):
                    damages.append(Damage(view.plain, "has other columns than were deployed"))
        return damages

    def _stored(self, name: str) -> str:
        """A column's name as the connector reads it back."""
        capitals = self._manifest.dialect == "snowflake" and name == name.upper()
        return name.lower() if capitals else name


def _control_tables(manifest: Manifest) -> list[str]:
    tables = [LEDGER, PUBLIC_VIEWS, DEPLOYED, IDENTITY, OWNERS]
    sources = {source.name: source.expectations for source in manifest.sources}
    if any(v.expectations or any(map(sources.get, v.sources)) for v in manifest.views):
        tables.append(METRICS)
    return [table.plain for table in tables]


def _unlisted(
    manifest: Manifest, views: Sequence[ViewSpec], versions: Iterable[tuple[str, str]] | None
) -> list[Damage]:
    if versions is None:
        return []
    listed = set(versions)
    return [
        Damage(
            DEPLOYED.plain, f"does not list version {view.fingerprint} of feature view {view.name}"
        )
        for view in views
        if (f"{manifest.schema}.{view.name}", view.fingerprint) not in listed
    ]


def _view_columns(warehouse: Warehouse, names: Sequence[str]) -> Catalogue:
    """The columns of public views; none where a view can't be read.

    A view whose table has lost a column is an error on DuckDB and on Databricks. Then each view is
    asked for alone, since one such answer hides all others.
    """
    try:
        return warehouse.columns(names)
    except PermanentError:
        found: dict[str, Mapping[str, str] | None] = {}
        for name in names:
            try:
                found[name] = warehouse.columns([name])[name]
            except PermanentError:
                found[name] = {}
        return found


def _definitions(warehouse: Warehouse, schema: str) -> dict[str, objects.Definition]:
    """What the catalogue says of our schemas, where it keeps the statements that made them."""
    query = dialect(warehouse.dialect).definitions([schema, naming.CONTROL_SCHEMA])
    rows = ledger.rows(warehouse, query) if query else []
    return {row["name"]: objects.Definition(row["definition"], row["column_count"]) for row in rows}


def _types(warehouse: Warehouse, d: Dialect, tables: Iterable[DataTable]) -> dict[str, str]:
    """Types in the warehouse's SQL -> as its catalogue tells them: the warehouse itself says so."""
    today = {kind for table in tables for kind in table.columns.values()}
    kinds = sorted({*today, *(_of_64_bits(d, kind) for kind in today)})
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {d.quote(f't{i}')}" for i, kind in enumerate(kinds))
    return dict(zip(kinds, described(warehouse, f"SELECT {nulls}").values(), strict=True))


def _of_64_bits(d: Dialect, kind: str) -> str:
    return kind.replace(d.wide_integer, d.type("int64"))


def _lost_publications(
    warehouse: Warehouse,
    manifest: Manifest,
    views: Sequence[ViewSpec],
    entries: Entries,
    now: datetime,
) -> list[Drift]:
    """Versions whose head is ahead of the ledger: rows of the ledger were removed.

    Only heads of views that lack an interval are read, and no more than `_HEADS_READ`.
    """
    behind = [view for view in views if _lacks(manifest, view, entries, now)]
    # Those that have entries first: a version without any was most likely never computed.
    behind.sort(key=lambda v: (f"{manifest.schema}.{v.name}", v.fingerprint) not in entries)
    behind = behind[:_HEADS_READ]
    frontiers = _frontiers(warehouse, manifest, behind) if behind else {}
    if not any(frontiers[v.name] > _covered_through(manifest, v, entries) for v in behind):
        return []
    # A run may have published between the two reads, so the ledger is read once more.
    entries = ledger.entries(warehouse)
    found = []
    for view in behind:
        through = _covered_through(manifest, view, entries)
        if frontiers[view.name] > through:
            lost = Interval(through, frontiers[view.name])
            problem = f"has lost publications of feature view {view.name} in {lost}"
            damage = Damage(LEDGER.plain, problem)
            found.append(Drift(view.name, view.fingerprint, (damage,), computed_through=through))
    return found


def _lacks(manifest: Manifest, view: ViewSpec, entries: Entries, now: datetime) -> bool:
    due = timing(view).due(now)
    return due is not None and _covered_through(manifest, view, entries) < due.end


def _covered_through(manifest: Manifest, view: ViewSpec, entries: Entries) -> datetime:
    publications = entries.get((f"{manifest.schema}.{view.name}", view.fingerprint), ())
    covered = ledger.covered(publications)
    return next((part.end for part in covered if part.start <= view.start), view.start)


def _frontiers(
    warehouse: Warehouse, manifest: Manifest, views: Sequence[ViewSpec]
) -> dict[str, datetime]:
    d = dialect(manifest.dialect)
    heads = (control_tables.head(manifest.schema, view.name, view.fingerprint) for view in views)
    queries = [
        f"SELECT {index} AS view_index, frontier FROM {head.quoted(d)}"
        for index, head in enumerate(heads)
    ]
    rows = ledger.rows(warehouse, "\nUNION ALL ".join(queries))
    found = {views[row["view_index"]].name: utc(row["frontier"]) for row in rows}
    return {view.name: found.get(view.name, view.start) for view in views}
