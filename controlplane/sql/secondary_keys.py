"""Aggregates by a secondary key.

A tile keeps a list of the key's values, each with states. A feature is a list over these values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from controlplane.manifest.specs import Column, ViewSpec
from controlplane.sql.aggregates import Names, TileSchema
from controlplane.sql.dialects import Dialect
from controlplane.sql.ranges import Owner
from controlplane.sql.windows import Frames, Pairs


class SecondaryKey:
    """One secondary key of a view for the templates.

    Every attribute is SQL text, or a list of names with SQL text.
    """

    def __init__(
        self,
        view: ViewSpec,
        index: int,
        column: Column,
        names: Names,
        order: Sequence[str],
        dialect: Dialect,
    ) -> None:
        owner = Owner(f"feature view '{view.name}'", view.keys)
        self._view = view
        self._d = d = dialect
        self._own = [a for a in view.aggregates if a.by == column]
        name, canonical = column
        self.tiles = TileSchema(self._own, names, order, d, owner)
        self.type = canonical
        self.source = d.quote(name)
        self.label = f"column '{name}'"
        self.staged = d.quote(names.of(f"{name}__second"))
        self.column = d.quote(names.of(f"{name}__by"))
        self.name = f"second_{index}"
        self.alias = f"g{index}"
        self.states = [(d.quote(s.name), s.sql) for s in self.tiles.states.values()]
        self.state_names = [name for name, _ in self.states]
        self.names = [d.quote(a.name) for a in self._own]
        # The names `second` and `<column>__by` are those of stored tables, which keep them.
        self.types = {
            "second": d.type(canonical),
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
        frames = Frames if self._d.window_frames else Pairs
        keys = [self._d.quote(name) for name, _ in self._view.keys]
        return frames(self._view, [*keys, "second"], self._d)

    @cached_property
    def _values(self) -> list[tuple[str, str]]:
        values = []
        for aggregate in self._own:
            value = "second" if aggregate.lists_keys else self.tiles.value(aggregate, self._frames)
            listed = self._d.collect(value, ["second"], self.tiles.present(aggregate, self._frames))
            values.append((self._d.quote(aggregate.name), listed))
        return values

    @property
    def values(self) -> list[tuple[str, str]]:
        """Each feature, as an aggregate over the secondary key's values at one moment."""
        return self._values

    @property
    def merged(self) -> list[tuple[str, str]]:
        """The columns that these aggregates read: window functions over the tiles."""
        self._values  # noqa: B018 - rendering the values fills `merged` of the frames
        return [(name, sql) for sql, name in self._frames.merged.items()]
