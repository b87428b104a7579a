"""The tables of one version of a view, as data: their names, their columns, and the statements that
make them."""

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
"""What healing replaced can't be computed again; a run fills every other table from the sources."""
_CALLED = {"history_replaced": "the history that was replaced", "latest": "the newest rows"}


class Column(NamedTuple):
    """A column of a table: its name and type, both as SQL text."""

    name: str
    type: str
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.type}{'' if self.nullable else ' NOT NULL'}"


@dataclass(frozen=True)
class DataTable:
    """A table of one version of a view.

    Attributes:
        part: what it is, such as `history`.
        plain: `schema.table`, for people.
        quoted: the same in SQL text.
        declared: its columns in order.
        quote_mark: stands around names in SQL text.
    """

    part: str
    plain: str
    quoted: str
    declared: tuple[Column, ...]
    quote_mark: str

    @property
    def title(self) -> str:
        """What it is, in words."""
        return _CALLED.get(self.part, f"the {self.part}")

    @property
    def derived(self) -> bool:
        """Whether a run can fill it again."""
        return self.part not in KEPT_PARTS

    @property
    def body(self) -> str:
        """The definitions of its columns, one a line."""
        return ",\n".join(f"  {column}" for column in self.declared)

    @property
    def create(self) -> str:
        """The statement that makes it where it is missing."""
        return f"CREATE TABLE IF NOT EXISTS {self.quoted} (\n{self.body}\n)"

    @cached_property
    def columns(self) -> Mapping[str, str]:
        """Its columns in order: name as stored -> type in the warehouse's SQL."""
        mark = self.quote_mark
        return {
            name[1:-1].replace(mark * 2, mark) if name[0] == mark else name: kind
            for name, kind, _ in self.declared
        }

    @property
    def definition(self) -> str:
        """How a catalogue ends that keeps the statement which made the table, without quotes."""
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
        keys: names and types of its keys, as SQL text; the other columns likewise.
        features: one column for each feature.
        tiles: attributes and states of its tiles.
        rollups: the states that rollups keep; None where the version has none.
    """
    d = dialect(manifest.dialect)
    instant = d.type("timestamp")
    keyed = [Column(*key, nullable=False) for key in keys]

    def required(name: str, kind: str = instant) -> Column:
        return Column(name, kind, nullable=False)

    def table(part: str, *columns: Column) -> DataTable:
        name = getattr(naming, part)(view.name, view.fingerprint)
        plain, quoted = f"{manifest.schema}.{name}", qualified(d, manifest.schema, name)
        return DataTable(part, plain, quoted, (*keyed, *columns), d.quote_mark)

    found = [table("tiles", required("tile_start"), *(Column(*column) for column in tiles))]
    if rollups is not None:
        states = (Column(*column) for column in rollups)
        found.append(table("rollups", required("tile_start"), required("tile_end"), *states))
    values = (
        required("valid_from"),
        Column("expires_at", instant),
        *(Column(*column) for column in features),
    )
    version = required("version", d.type("int64"))
    return [
        *found,
        table("history", *values, version, required("recorded_from")),
        table("history_replaced", *values, required("recorded_from"), required("recorded_to")),
        table("latest", *values, version, required("is_deleted", d.type("bool"))),
    ]


def change_columns(
    manifest: Manifest, keys: Sequence[tuple[str, str]], features: Sequence[tuple[str, str]]
) -> list[Column]:
    """Return the columns of a run's own table of what changes in the history.

    The arguments as in `data_tables`.
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
