"""What one version of a view has in the warehouse: its tables and public views, with their columns.

Tables are those that the rendered `sql/setup.sql.j2` makes, public views those of `doors.sql.j2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from controlplane.base import naming, template
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import control_tables
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.instants import Extent
from controlplane.sql.tables import qualified
from controlplane.sql.views import context

_PARTS = ("tiles", "rollups", "history", "history_replaced", "latest")
KEPT_PARTS = ("history_replaced",)
"""What healing replaced can't be computed again; a run fills every other table from the sources."""
_CREATE = "CREATE TABLE IF NOT EXISTS "
_COLUMN = re.compile(
    r'^  (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\w+) (?P<type>.+?)(?: NOT NULL)?,?$', re.MULTILINE
)


@dataclass(frozen=True)
class DataTable:
    """A table of one version of a view.

    Attributes:
        part: what it is, such as `history`.
        plain: `schema.table`, for people.
        quoted: the same in SQL text.
        body: the definitions of its columns, one a line, as the setup has them.
        quote_mark: stands around names in them.
    """

    part: str
    plain: str
    quoted: str
    body: str
    quote_mark: str

    @property
    def derived(self) -> bool:
        """Whether a run can fill it again."""
        return self.part not in KEPT_PARTS

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Its columns in order: name as stored -> type in the warehouse's SQL."""
        mark = self.quote_mark
        found = {}
        for column in _COLUMN.finditer(self.body):
            name = column["name"]
            found[name[1:-1].replace(mark * 2, mark) if name[0] == mark else name] = column["type"]
        return found

    def is_made_by(self, text: str, known: Definition) -> bool:
        """Whether a definition without quotes is that of the setup."""
        columns = self.body.replace(self.quote_mark, "").replace("\n  ", " ").strip()
        return text.endswith(f"({columns});")


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

    def is_made_by(self, text: str, known: Definition) -> bool:
        """Whether a definition without quotes reads the table, and gives as many columns."""
        count = len(self.view.keys) + 2 + len(self.view.features)
        if self.part not in ("", "latest"):
            count = self.table.body.count("\n") + 1
        return known.column_count == count and self.table.plain in text


def setup(manifest: Manifest, view: ViewSpec) -> str:
    """Return the statements that make the tables of a view, as a release has them."""
    return template.render("sql/setup.sql.j2", {"v": context(manifest, view, Extent(), {})})


def wide_sums(manifest: Manifest, view: ViewSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns of tiles and rollups that hold sums of integers: quoted name -> quoted
    members.

    There are members where the column is a list of structs, one for each value of a secondary key.
    """
    v = context(manifest, view, Extent(), {})
    wide = v.d.wide_integer
    found: dict[str, tuple[str, ...]] = {name: () for name, kind in v.tile_columns if kind == wide}
    for second in v.seconds:
        found[second.column] = tuple(
            v.d.quote(name) for name, kind in second.types.items() if kind == wide
        )
    return found


def tables(manifest: Manifest, view: ViewSpec, statements: str) -> list[DataTable]:
    """Return the tables of one version of a view; `statements` are its setup."""
    d = dialect(manifest.dialect)
    parts = {part: getattr(naming, part)(view.name, view.fingerprint) for part in _PARTS}
    named = {
        qualified(d, manifest.schema, name): (part, f"{manifest.schema}.{name}")
        for part, name in parts.items()
    }
    head = control_tables.head(manifest.schema, view.name, view.fingerprint)
    named[head.quoted(d)] = ("head", head.plain)
    found = []
    for text in statements.split(_CREATE)[1:]:
        quoted, _, rest = text.partition(" (\n")
        if quoted in named:
            part, plain = named[quoted]
            found.append(DataTable(part, plain, quoted, rest.partition("\n)")[0], d.quote_mark))
    return found


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
        if known is not None and one.is_made_by(known.text.replace(d.quote_mark, ""), known):
            found.add(one.quoted)
    return found
