"""The data tables of one version of a view: names, columns, and CREATE statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified

KEPT_PARTS = ("history_replaced",)
"""The tables that no run can fill again: what healing replaced is not in the sources any more."""
_TITLES = {"history_replaced": "the history that was replaced", "latest": "the newest rows"}


class Column(NamedTuple):
    """A column of a table: its name and its type, both as SQL text."""

    name: str
    type: str
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'' if self.nullable else ' NOT NULL'}"


@dataclass(frozen=True)
class DataTable:
    """A table of one version of a view.

    Attributes:
        part: what it holds, such as `history`.
        plain: `schema.table`, for people.
        quoted: the same name as SQL text.
        declared: its columns in order.
        quote_mark: the character around identifiers in SQL text.
    """

    part: str
    plain: str
    quoted: str
    declared: tuple[Column, ...]
    quote_mark: str

    @property
    def title(self) -> str:
        """What the table holds, in words."""
        return _TITLES.get(self.part, f"the {self.part}")

    @property
    def derived(self) -> bool:
        """Whether a run can fill the table again."""
        return self.part not in KEPT_PARTS

    @property
    def body(self) -> str:
        """The definitions of the columns, one a line."""
        return ",\n".join(f"  {column}" for column in self.declared)

    @property
    def create(self) -> str:
        """The statement that creates the table if it is missing."""
        return f"CREATE TABLE IF NOT EXISTS {self.quoted} (\n{self.body}\n)"

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """The columns in order: name as stored -> type in the warehouse's SQL."""
        mark = self.quote_mark
        return {
            name[1:-1].replace(mark * 2, mark) if name[0] == mark else name: column_type
            for name, column_type, _ in self.declared
        }

    @property
    def definition(self) -> str:
        """The end of the CREATE statement in the catalogue, without quotes."""
        # DuckDB's catalogue keeps the statement on one line and quotes only where it must.
        columns = ", ".join(map(str, self.declared)).replace(self.quote_mark, "")
        return f"({columns});"


def data_tables(
    manifest: Manifest,
    view: ViewSpec,
    keys: Sequence[tuple[str, str]],
    features: Sequence[tuple[str, str]],
    tiles: Sequence[tuple[str, str]],
    rollups: Sequence[tuple[str, str]] | None,
) -> list[DataTable]:
    """Return the tables that belong to one version of a view alone, except for its head.

    Args:
        manifest: the project.
        view: one of its views.
        keys: names and types of the keys, as SQL text; the other columns likewise.
        features: one column for each feature.
        tiles: attributes and states of the tiles.
        rollups: the states that rollups keep; None where the version has no rollups.
    """
    d = dialect(manifest.dialect)
    instant = d.type("timestamp")
    keyed = [Column(*key, nullable=False) for key in keys]

    def required(name: str, column_type: str = instant) -> Column:
        return Column(name, column_type, nullable=False)

    def table(part: str, *columns: Column) -> DataTable:
        name = getattr(naming, part)(view.name, view.fingerprint)
        plain, quoted = f"{manifest.schema}.{name}", qualified(d, manifest.schema, name)
        return DataTable(part, plain, quoted, (*keyed, *columns), d.quote_mark)

    tables = [table("tiles", required("tile_start"), *(Column(*column) for column in tiles))]
    if rollups is not None:
        states = (Column(*column) for column in rollups)
        tables.append(table("rollups", required("tile_start"), required("tile_end"), *states))
    values = (
        required("valid_from"),
        Column("expires_at", instant),
        *(Column(*column) for column in features),
    )
    version = required("version", d.type("int64"))
    return [
        *tables,
        table("history", *values, version, required("recorded_from")),
        table("history_replaced", *values, required("recorded_from"), required("recorded_to")),
        table("latest", *values, version, required("is_deleted", d.type("bool"))),
    ]


def change_columns(
    manifest: Manifest, keys: Sequence[tuple[str, str]], features: Sequence[tuple[str, str]]
) -> list[Column]:
    """Return the columns of the table in which a run collects changes of the history.

    For the arguments see `data_tables`.
    """
    d = dialect(manifest.dialect)
    instants = (Column(name, d.type("timestamp")) for name in ("valid_from", "expires_at"))
    values = (Column(*column) for column in features)
    return [
        *(Column(*key) for key in keys),
        *instants,
        *values,
        Column("is_removed", d.type("bool")),
    ]
