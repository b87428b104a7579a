"""Aggregates by a second key: a tile keeps a list of its values, each with states.

A feature is a list over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from controlplane.manifest.specs import Column, ViewSpec
from controlplane.sql.aggregates import Names, TileSchema
from controlplane.sql.dialects import Dialect
from controlplane.sql.ranges import Owner
from controlplane.sql.windows import Frames, Pairs


class Second:
    """One second key of a view, as the templates see it: every attribute is SQL text, or a list of
    names with it."""

    def __init__(
        self,
        view: ViewSpec,
        place: int,
        column: Column,
        names: Names,
        order: Sequence[str],
        dialect: Dialect,
    ) -> None:
        owner = Owner(f"feature view '{view.name}'", view.keys)
        self._view = view
        self._d = d = dialect
        self._own = [a for a in view.aggregates if a.by == column]
        name, kind = column
        self.tiles = TileSchema(self._own, names, order, d, owner)
        self.type = kind
        self.source = d.quote(name)
        self.label = f"column '{name}'"
        self.staged = d.quote(names.of(f"{name}__second"))
        self.column = d.quote(names.of(f"{name}__by"))
        self.name = f"second_{place}"
        self.alias = f"g{place}"
        self.states = [(d.quote(s.name), s.sql) for s in self.tiles.states.values()]
        self.state_names = [name for name, _ in self.states]
        self.names = [d.quote(a.name) for a in self._own]
        self.types = {
            "second": d.type(kind),
            **{s.name: s.type for s in self.tiles.states.values()},
        }
        self.column_type = d.type_list(d.struct_type(self.types))
        fields = {
            "second": "second",
            **{s.name: d.quote(s.name) for s in self.tiles.states.values()},
        }
        listed = d.collect(d.struct(fields), ["second"], "second IS NOT NULL")
        self.collected = f"CAST({listed} AS {self.column_type})"

    @cached_property
    def _frames(self) -> Frames:
        kind = Frames if self._d.framed else Pairs
        return kind(
            self._view, [*(self._d.quote(name) for name, _ in self._view.keys), "second"], self._d
        )

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        found = []
        for aggregate in self._own:
            value = "second" if aggregate.lists_keys else self.tiles.value(aggregate, self._frames)
            listed = self._d.collect(value, ["second"], self.tiles.present(aggregate, self._frames))
            found.append((self._d.quote(aggregate.name), listed))
        return found

    @property
    def values(self) -> list[tuple[str, str]]:
        """Each feature, as an aggregate over the rows of the second key's values at one moment."""
        return self._values

    @property
    def merged(self) -> list[tuple[str, str]]:
        """The columns that these aggregates read: window functions over the tiles."""
        self._values  # noqa: B018 - says what must be merged
        return [(name, sql) for sql, name in self._frames.merged.items()]
