"""What one version of a view has in the warehouse: its tables and public views, with their columns.

`setup.sql.j2` makes the tables, `doors.sql.j2` the public views.
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
    """A view that SQL users read.

    Attributes:
        plain: `schema.view`, for people.
        quoted: the same in SQL text.
        part: what it shows: one of `naming.PARTS`, or the history with its ends (empty).
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
        second = {"": "valid_to", "latest": "expires_at"}.get(self.part)
        if second is None:
            return tuple(self.table.columns)
        keys = (name for name, _ in self.view.keys)
        return (*keys, "valid_from", second, *(feature.name for feature in self.view.features))

    @property
    def column_count(self) -> int:
        """How many columns it has."""
        if self.part not in ("", "latest"):
            return len(self.table.declared)
        return len(self.view.keys) + 2 + len(self.view.features)


def wide_sums(manifest: Manifest, view: ViewSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns of tiles and rollups that hold sums of integers: quoted name -> quoted
    members.

    There are members where the column is a list of structs, one for each value of a secondary key.
    """
    v = ViewContext(manifest, view, Extent(), {})
    wide = v.d.wide_integer
    found: dict[str, tuple[str, ...]] = {name: () for name, kind in v.tile_columns if kind == wide}
    for second in v.seconds:
        found[second.column] = tuple(
            v.d.quote(name) for name, kind in second.types.items() if kind == wide
        )
    return found


def tables(manifest: Manifest, view: ViewSpec) -> list[DataTable]:
    """Return the tables of one version of a view."""
    d = dialect(manifest.dialect)
    head = control_tables.head(manifest.schema, view.name, view.fingerprint)
    columns = tuple(
        Column(name, d.type(kind), nullable=False) for name, kind in head.columns.items()
    )
    made = ViewContext(manifest, view, Extent(), {}).data_tables
    return [*made, DataTable("head", head.plain, head.quoted(d), columns, d.quote_mark)]


def public_views(manifest: Manifest, view: ViewSpec, made: Iterable[DataTable]) -> list[PublicView]:
    """Return the public views that show one version of a view; `made` are its tables."""
    d = dialect(manifest.dialect)
    by_part = {table.part: table for table in made}
    found = []
    for part in ("", *naming.PARTS):
        name = naming.public_view(view.name, part)
        plain, quoted = f"{manifest.schema}.{name}", qualified(d, manifest.schema, name)
        found.append(PublicView(plain, quoted, part, view, by_part[part or "history"]))
    return found


@dataclass(frozen=True)
class Definition:
    """What the catalogue says of a table or view: the text that made it, and its columns'
    number."""

    text: str
    column_count: int


def unaltered(
    d: Dialect, made: Iterable[DataTable | PublicView], catalogue: Mapping[str, Definition]
) -> set[str]:
    """Return the quoted names of tables and public views that are as they were made.

    Comparing texts costs a hundredth of comparing columns. What differs may still be right: the
    warehouse may spell a type in its own way.

    Args:
        d: the dialect.
        made: tables and public views.
        catalogue: `schema.table` -> what the catalogue says, see `Dialect.definitions`.
    """
    found = set()
    for one in made:
        known = catalogue.get(one.plain)
        if known is not None and _is_made_by(
            one, known.text.replace(d.quote_mark, ""), known.column_count
        ):
            found.add(one.quoted)
    return found


def _is_made_by(made: DataTable | PublicView, text: str, column_count: int) -> bool:
    """Whether the catalogue's definition, without quotes, is that of a table or public view."""
    if isinstance(made, DataTable):
        return text.endswith(made.definition)
    return column_count == made.column_count and made.table.plain in text
