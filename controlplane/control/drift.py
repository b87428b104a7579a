"""Finds what is missing or was altered in the warehouse since the last deploy.

Every table, public view and control table of the deployed versions is compared with the warehouse's
catalogue: by the statement that created it if the catalogue keeps that, else by its columns.
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
# Tables in one query. A thousand, when all views lack their last interval, would take a tenth of a
# plan's time. The missing intervals of the others are listed and computed in any case.
_HEADS_READ = 100
MISSING = "is missing"
"""The problem of a missing object."""


class Damage(msgspec.Struct, frozen=True):
    """One object that is missing or altered: its name (`schema.table`), and the problem.

    `outdated` says that an earlier version created it in this form. Runs continue until a deploy
    changes it.
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
        column: the column's quoted name.
        type: the column's new type.
        members: the members that change, if the column is a list of structs.
    """

    table: str
    column: str
    type: str
    members: tuple[str, ...] = ()


class Drift(msgspec.Struct, frozen=True):
    """The damages of one version of a view, or (`view` empty) of what all views share.

    Attributes:
        view: the view's name.
        fingerprint: the view's version.
        damages: the missing or altered objects.
        dropped: quoted names of altered tables, which a deploy drops and creates again.
        recomputed: whether a deploy clears the version's ledger, so that a run computes all of it.
        computed_through: the watermark that a deploy sets in the head; None if it stays.
        reopened: whether a deploy creates the public views again.
        widened: columns of an earlier version's tables whose type is too narrow.
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
    """Compare the deployed objects with the warehouse.

    Args:
        warehouse: the warehouse, which is only read.
        manifest: the deployed manifest.
        views: the views of the manifest to compare.
        entries: the ledger's entries, see `control.ledger.entries`.
        now: the environment's current time.
    """
    if not views:
        return []
    d = dialect(manifest.dialect)
    control = _control_tables(manifest)
    control_columns = warehouse.columns(control)
    shared = [Damage(name, MISSING) for name in control if control_columns[name] is None]
    # Earlier versions of controlplane created neither table. The next deploy does, silently.
    if {IDENTITY.plain, OWNERS.plain} <= {damage.name for damage in shared}:
        shared = [damage for damage in shared if damage.name not in (IDENTITY.plain, OWNERS.plain)]
    shared += _unlisted(manifest, views, ledger.deployed_versions(warehouse))
    shown_versions = ledger.shown_versions(warehouse)
    checks = [_ViewCheck(manifest, view, shown_versions) for view in views]
    unaltered = objects.unaltered(
        d,
        (made for check in checks for made in check.objects),
        _definitions(warehouse, manifest.schema),
    )
    # Reading columns takes most of the time, so it is done only where the definitions don't match.
    suspects = [check for check in checks if not unaltered.issuperset(check.names)]
    drifts = []
    if suspects:
        catalogue = {
            **warehouse.columns([name for check in suspects for name in check.table_names]),
            **_view_columns(warehouse, [name for check in suspects for name in check.view_names]),
        }
        types = _types(warehouse, d, [table for check in suspects for table in check.tables])
        drifts = [drift for check in suspects if (drift := check.compare(catalogue, types))]
    damaged = {drift.view for drift in drifts}
    undamaged = [view for view in views if view.name not in damaged]
    drifts += _lost_publications(warehouse, manifest, undamaged, entries, now)
    return [*([Drift("", "", tuple(shared))] if shared else []), *drifts]


def without_lost(entries: Entries, drifts: Iterable[Drift], schema: str) -> Entries:
    """Return the ledger's entries without those of versions that a deploy recomputes."""
    lost = {(f"{schema}.{drift.view}", drift.fingerprint) for drift in drifts if drift.recomputed}
    return {key: publications for key, publications in entries.items() if key not in lost}


class _ViewCheck:
    """The objects that one deployed version of a view should have in the warehouse."""

    def __init__(
        self, manifest: Manifest, view: ViewSpec, shown_versions: Mapping[str, str]
    ) -> None:
        self._manifest, self._view = manifest, view
        self.tables = objects.tables(manifest, view)
        self._public = objects.public_views(manifest, view, self.tables)
        self._shown = shown_versions.get(f"{manifest.schema}.{view.name}")
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
        """The objects that can be compared by their definitions."""
        if self._shown == self._view.fingerprint:
            return (*self.tables, *self._public)
        return self.tables

    @property
    def names(self) -> list[str]:
        """Quoted names of all tables and public views."""
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
        """Return the drift of this version; None if nothing is missing or altered."""
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
        """Return the sum columns of an earlier version, which hold 64 bits."""
        d = dialect(self._manifest.dialect)
        sums = objects.wide_sums(self._manifest, self._view) if table.part == "tiles" else {}
        widenings = {}
        for name, sql_type in table.columns.items():
            earlier = _of_64_bits(d, sql_type)
            if d.quote(name) in sums and columns.get(name) == types[earlier] != types[sql_type]:
                widenings[name] = Widening(
                    table.quoted, d.quote(name), sql_type, sums[d.quote(name)]
                )
        return widenings

    def _altered(
        self, table: DataTable, columns: Mapping[str, str], types: Mapping[str, str]
    ) -> str:
        expected = {self._stored(name): types[sql_type] for name, sql_type in table.columns.items()}
        return differences(expected, columns)

    def _public_damages(self, catalogue: Catalogue, damaged: Collection[str]) -> list[Damage]:
        """Return the damages of public views, but not those over damaged tables."""
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
                continue  # the repair of the table creates the view again anyway
            if columns is None:
                damages.append(Damage(view.plain, MISSING))
            elif self._shown == self._view.fingerprint:
                expected = [self._stored(name) for name in view.columns]
                if expected != list(columns):
                    damages.append(Damage(view.plain, "has other columns than were deployed"))
        return damages

    def _stored(self, name: str) -> str:
        """Return a column's name in the form in which the connector reads it back."""
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
    if versions is None:  # the table itself is missing, which is reported already
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
    """Return the columns of public views; no columns for a view that can't be read.

    On DuckDB and on Databricks a view whose table has lost a column is an error, which hides the
    columns of all other views. Then each view is read alone.
    """
    try:
        return warehouse.columns(names)
    except PermanentError:
        columns: dict[str, Mapping[str, str] | None] = {}
        for name in names:
            try:
                columns[name] = warehouse.columns([name])[name]
            except PermanentError:
                columns[name] = {}
        return columns


def _definitions(warehouse: Warehouse, schema: str) -> dict[str, objects.Definition]:
    """Return the definitions in our schemas, if the catalogue keeps the statements."""
    query = dialect(warehouse.dialect).definitions([schema, naming.CONTROL_SCHEMA])
    rows = ledger.rows(warehouse, query) if query else []
    return {row["name"]: objects.Definition(row["definition"], row["column_count"]) for row in rows}


def _types(warehouse: Warehouse, d: Dialect, tables: Iterable[DataTable]) -> dict[str, str]:
    """Return type in the warehouse's SQL -> type in its catalogue.

    The warehouse answers this itself: synonyms and default precisions differ between products.
    """
    today = {sql_type for table in tables for sql_type in table.columns.values()}
    sql_types = sorted({*today, *(_of_64_bits(d, sql_type) for sql_type in today)})
    nulls = ", ".join(f"CAST(NULL AS {t}) AS {d.quote(f't{i}')}" for i, t in enumerate(sql_types))
    return dict(zip(sql_types, described(warehouse, f"SELECT {nulls}").values(), strict=True))


def _of_64_bits(d: Dialect, sql_type: str) -> str:
    return sql_type.replace(d.wide_integer, d.type("int64"))


def _lost_publications(
    warehouse: Warehouse,
    manifest: Manifest,
    views: Sequence[ViewSpec],
    entries: Entries,
    now: datetime,
) -> list[Drift]:
    """Return the versions whose head is ahead of the ledger: rows of the ledger were removed.

    Only heads of views that lack an interval are read, and at most `_HEADS_READ` of them.
    """
    behind = [view for view in views if _lacks(manifest, view, entries, now)]
    # Versions with entries come first: a version without any was most likely never computed.
    behind.sort(key=lambda v: (f"{manifest.schema}.{v.name}", v.fingerprint) not in entries)
    behind = behind[:_HEADS_READ]
    watermarks = _watermarks(warehouse, manifest, behind) if behind else {}
    if not any(watermarks[v.name] > _covered_through(manifest, v, entries) for v in behind):
        return []
    # A run may have published between the two reads, so the ledger is read once more.
    entries = ledger.entries(warehouse)
    drifts = []
    for view in behind:
        through = _covered_through(manifest, view, entries)
        if watermarks[view.name] > through:
            lost = Interval(through, watermarks[view.name])
            problem = f"has lost publications of feature view {view.name} in {lost}"
            damage = Damage(LEDGER.plain, problem)
            drifts.append(Drift(view.name, view.fingerprint, (damage,), computed_through=through))
    return drifts


def _lacks(manifest: Manifest, view: ViewSpec, entries: Entries, now: datetime) -> bool:
    due = timing(view).due(now)
    return due is not None and _covered_through(manifest, view, entries) < due.end


def _covered_through(manifest: Manifest, view: ViewSpec, entries: Entries) -> datetime:
    publications = entries.get((f"{manifest.schema}.{view.name}", view.fingerprint), ())
    covered = ledger.covered(publications)
    return next((part.end for part in covered if part.start <= view.start), view.start)


def _watermarks(
    warehouse: Warehouse, manifest: Manifest, views: Sequence[ViewSpec]
) -> dict[str, datetime]:
    d = dialect(manifest.dialect)
    heads = (control_tables.head(manifest.schema, view.name, view.fingerprint) for view in views)
    queries = [
        f"SELECT {index} AS view_index, frontier FROM {head.quoted(d)}"
        for index, head in enumerate(heads)
    ]
    rows = ledger.rows(warehouse, "\nUNION ALL ".join(queries))
    watermarks = {views[row["view_index"]].name: utc(row["frontier"]) for row in rows}
    return {view.name: watermarks.get(view.name, view.start) for view in views}
