"""The out-of-range values of a stage's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from controlplane.base import template
from controlplane.manifest.specs import ViewSpec
from controlplane.sql import ranges
from controlplane.sql.aggregates import TileSchema
from controlplane.sql.dialects import Dialect
from controlplane.sql.secondary_keys import SecondaryKey


class StagedRows:
    """The rows of one view's stage, as the templates see them: every attribute is SQL text.

    Args:
        view: the view.
        tiles: the schema of its tiles, whose staged columns aggregates read.
        secondary_keys: its secondary keys.
        d: the dialect.
    """

    def __init__(
        self,
        view: ViewSpec,
        tiles: TileSchema,
        secondary_keys: Sequence[SecondaryKey],
        d: Dialect,
    ) -> None:
        self._view = view
        self._schemas = (tiles, *(key.tiles for key in secondary_keys))
        self._secondary_keys = secondary_keys
        self._d = d

    @cached_property
    def out_of_range(self) -> str:
        """An aggregate that describes the stage's out-of-range values; see `ranges.counted`."""
        columns = list(self._values.values())
        if self._view.timestamp is not None:
            columns.insert(
                0, ranges.Staged(f"event time '{self._view.timestamp}'", "event_time", "timestamp")
            )
        return template.escape(ranges.counted(columns, self._view.keys, self._d))

    def checked(self, columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Make staged columns (name -> SQL) stop the statement where a value is out of range.

        For statements that compute a view inline: no run checks a stage there.
        """
        owner = ranges.Owner(f"feature view '{self._view.name}'", self._view.keys)
        return [(name, self._checked(self._values.get(name), sql, owner)) for name, sql in columns]

    def _checked(self, column: ranges.Staged | None, sql: str, owner: ranges.Owner) -> str:
        wrong = ranges.outside(sql, column.type, self._d) if column else ""
        if column is None or not wrong:
            return sql
        label = f"{column.label} ({column.type})"
        return ranges.checked(sql, column.type, label, owner, self._d, wrong)

    @cached_property
    def _values(self) -> Mapping[str, ranges.Staged]:
        """The user's values in the stage, by their columns' quoted names."""
        d, view = self._d, self._view
        columns = [
            ranges.Staged(f"key '{name}'", d.quote(name), key_type) for name, key_type in view.keys
        ]
        columns += [
            ranges.Staged(f"column '{a.column}'", d.quote(a.name), a.type) for a in view.attributes
        ]
        for tiles in self._schemas:
            columns += [
                ranges.Staged(f"column '{staged.column}'", d.quote(staged.name), staged.type)
                for staged in tiles.staged.values()
                if staged.column is not None
            ]
        columns += [ranges.Staged(key.label, key.staged, key.type) for key in self._secondary_keys]
        return {column.column: column for column in columns}
