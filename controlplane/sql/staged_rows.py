"""What of the rows of a stage lies outside its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from controlplane.base import template
from controlplane.manifest.specs import ViewSpec
from controlplane.sql import ranges
from controlplane.sql.aggregates import TileSchema
from controlplane.sql.dialects import Dialect
from controlplane.sql.secondary_keys import Second


class StagedRows:
    """The rows of one view's stage, as the templates see them: every attribute is SQL text.

    Args:
        view: the view.
        tiles: what aggregates read.
        seconds: its second keys.
        d: the dialect.
    """

    def __init__(
        self,
        view: ViewSpec,
        tiles: TileSchema,
        seconds: Sequence[Second],
        d: Dialect,
    ) -> None:
        self._view = view
        self._schemas = (tiles, *(second.tiles for second in seconds))
        self._seconds = seconds
        self._d = d

    @cached_property
    def out_of_range(self) -> str:
        """What of the stage lies outside its types, as a text; empty where nothing does."""
        columns = list(self._values.values())
        if self._view.timestamp is not None:
            columns.insert(
                0, ranges.Staged(f"event time '{self._view.timestamp}'", "event_time", "timestamp")
            )
        return template.escape(ranges.counted(columns, self._view.keys, self._d))

    def checked(self, columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Staged columns (name -> SQL) that stop the statement where a value lies outside its type.

        For statements in which no run looks at the stage.
        """
        owner = ranges.Owner(f"feature view '{self._view.name}'", self._view.keys)
        return [(name, self._checked(self._values.get(name), sql, owner)) for name, sql in columns]

    def _checked(self, one: ranges.Staged | None, sql: str, owner: ranges.Owner) -> str:
        wrong = ranges.outside(sql, one.type, self._d) if one else ""
        if one is None or not wrong:
            return sql
        return ranges.checked(sql, one.type, f"{one.label} ({one.type})", owner, self._d, wrong)

    @cached_property
    def _values(self) -> Mapping[str, ranges.Staged]:
        """The user's values in the stage, by their columns' quoted names."""
        d, view = self._d, self._view
        found = [ranges.Staged(f"key '{name}'", d.quote(name), kind) for name, kind in view.keys]
        found += [
            ranges.Staged(f"column '{a.column}'", d.quote(a.name), a.type) for a in view.attributes
        ]
        for tiles in self._schemas:
            for one in tiles.staged.values():
                if one.column is not None:
                    found.append(
                        ranges.Staged(f"column '{one.column}'", d.quote(one.name), one.type)
                    )
        found += [
            ranges.Staged(second.label, second.staged, second.type) for second in self._seconds
        ]
        return {one.column: one for one in found}
