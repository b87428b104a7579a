"""The tables and public views of one version of a view in the warehouse, with their columns.

`setup.sql.j2` creates the tables, `doors.sql.j2` the public views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import control_tables
from controlplane.sql.data_tables import Column, DataTable
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.extents import Extent
from controlplane.sql.tables import qualified
from controlplane.sql.view_context import ViewContext


@dataclass(frozen=True)
class PublicView:
    """A view of the warehouse that SQL users read.

    Attributes:
        plain: `schema.view`, for people.
        quoted: the same name as SQL text.
        part: the part that it shows: one of `naming.PARTS`, or empty for the history with ends.
        view: its feature view.
        table: the table that it shows.
    """

    plain: str
    quoted: str
    part: str
    view: ViewSpec
    table: DataTable

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns' names, in order."""
        end = {"": "valid_to", "latest": "expires_at"}.get(self.part)
        if end is None:
            return tuple(self.table.columns)
        keys = (name for name, _ in self.view.keys)
        return (*keys, "valid_from", end, *(feature.name for feature in self.view.features))

    @property
    def column_count(self) -> int:
        """How many columns it has."""
        if self.part not in ("", "latest"):
            return len(self.table.declared)
        return len(self.view.keys) + 2 + len(self.view.features)


def wide_sums(manifest: Manifest, view: ViewSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns of tiles and rollups with sums of integers: quoted name -> quoted members.

    A column has members if it is a list of structs, one for each value of a secondary key.
    """
    v = ViewContext(manifest, view, Extent(), {})
    wide = v.d.wide_integer
    sums: dict[str, tuple[str, ...]] = {
        name: () for name, sql_type in v.tile_columns if sql_type == wide
    }
    for key in v.secondary_keys:
        sums[key.column] = tuple(
            v.d.quote(name) for name, sql_type in key.types.items() if sql_type == wide
        )
    return sums


def tables(manifest: Manifest, view: ViewSpec) -> list[DataTable]:
    """Return the tables of one version of a view."""
    d = dialect(manifest.dialect)
    head = control_tables.head(manifest.schema, view.name, view.fingerprint)
    columns = tuple(
        Column(name, d.type(column_type), nullable=False)
        for name, column_type in head.columns.items()
    )
    data_tables = ViewContext(manifest, view, Extent(), {}).data_tables
    return [*data_tables, DataTable("head", head.plain, head.quoted(d), columns, d.quote_mark)]


def public_views(
    manifest: Manifest, view: ViewSpec, data_tables: Iterable[DataTable]
) -> list[PublicView]:
    """Return the public views that show one version of a view, given the tables of the version."""
    d = dialect(manifest.dialect)
    by_part = {table.part: table for table in data_tables}
    views = []
    for part in ("", *naming.PARTS):
        name = naming.public_view(view.name, part)
        plain, quoted = f"{manifest.schema}.{name}", qualified(d, manifest.schema, name)
        views.append(PublicView(plain, quoted, part, view, by_part[part or "history"]))
    return views


@dataclass(frozen=True)
class Definition:
    """The catalogue's entry of a table or view: the text that made it, and how many columns."""

    text: str
    column_count: int


def unaltered(
    d: Dialect, made: Iterable[DataTable | PublicView], catalogue: Mapping[str, Definition]
) -> set[str]:
    """Return the quoted names of tables and public views whose definitions are unchanged.

    Another object may still be right: the warehouse may spell a type in its own way.

    Args:
        d: the dialect.
        made: tables and public views.
        catalogue: `schema.table` -> its entry, see `Dialect.definitions`.
    """
    # Comparing texts costs a hundredth of comparing columns, and a plan does it for every object.
    names = set()
    for item in made:
        entry = catalogue.get(item.plain)
        if entry is not None and _is_made_by(
            item, entry.text.replace(d.quote_mark, ""), entry.column_count
        ):
            names.add(item.quoted)
    return names


def _is_made_by(item: DataTable | PublicView, text: str, column_count: int) -> bool:
    """Whether the catalogue's definition, without quotes, is that of a table or public view."""
    if isinstance(item, DataTable):
        return text.endswith(item.definition)
    return column_count == item.column_count and item.table.plain in text
