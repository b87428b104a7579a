"""The algebra of partial aggregates: what a tile keeps for each function, how tiles merge, what they mean.

A *state* is one column of the tile table. Functions share states: the mean of a column needs its sum and its count,
and `sum` and `count` over the same column need nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.registry.functions import FUNCTIONS
from controlplane.registry.manifest import AggregateSpec
from controlplane.render.dialects import Dialect

COMPONENTS = {
    "count": ("count",),
    "sum": ("sum",),
    "mean": ("sum", "count"),
    "min": ("min",),
    "max": ("max",),
}
_MERGED_BY = {"count": "sum", "sum": "sum", "min": "min", "max": "max"}

Input = tuple[str | None, str | None]
"""What is aggregated: a column (None: the row itself) and a condition."""


@dataclass(frozen=True)
class Staged:
    """A column of the stage that aggregates read: the input, its name, and its SQL over the user's rows."""

    name: str
    sql: str


@dataclass(frozen=True)
class State:
    """A column of the tile table: its name and type, and how it is made from the stage."""

    name: str
    type: str
    sql: str
    component: str


class TileSchema:
    """The stage's and the tiles' columns for some aggregates, and each aggregate as an expression over tiles."""

    def __init__(self, aggregates: Sequence[AggregateSpec], taken: set[str], dialect: Dialect) -> None:
        self._dialect = dialect
        self._taken = {name.lower() for name in taken}
        self.staged: dict[Input, Staged] = {}
        self.states: dict[tuple[Input, str], State] = {}
        for aggregate in aggregates:
            source = (aggregate.column, aggregate.where)
            if source not in self.staged:
                self.staged[source] = self._stage(source)
            for component in COMPONENTS[aggregate.function]:
                if (source, component) not in self.states:
                    self.states[source, component] = self._state(source, component, aggregate)

    def value(self, aggregate: AggregateSpec, tiles: str, at: str) -> str:
        """The aggregate over the rows of `tiles` that its window at the instant `at` holds, in its own type."""
        end = self._dialect.plus(at, aggregate.offset)
        start = self._dialect.plus(at, aggregate.offset - aggregate.window)
        inside = f"{tiles}.tile_start >= {start} AND {tiles}.tile_start < {end}"
        source = (aggregate.column, aggregate.where)
        merged = {
            component: f"{_MERGED_BY[component]}({tiles}.{self._dialect.quote(self.states[source, component].name)})"
            f" FILTER (WHERE {inside})"
            for component in COMPONENTS[aggregate.function]
        }
        if aggregate.function == "mean":
            double = self._dialect.type("float64")
            value = f"CAST({merged['sum']} AS {double}) / CAST({merged['count']} AS {double})"
            value = f"CASE WHEN {merged['count']} > 0 THEN {value} END"
        elif aggregate.function == "count":
            value = f"coalesce({merged['count']}, 0)"
        else:
            value = merged[aggregate.function]
        return self._dialect.cast(value, aggregate.type)

    def _stage(self, source: Input) -> Staged:
        column, condition = source
        value = self._dialect.quote(column) if column else "1"
        sql = f"CASE WHEN ({condition}\n) THEN {value} END" if condition else value
        return Staged(self._name(f"{column or 'row'}__input"), sql)

    def _state(self, source: Input, component: str, aggregate: AggregateSpec) -> State:
        staged = self._dialect.quote(self.staged[source].name)
        kind = FUNCTIONS[component].gives(aggregate.column_type or "int64")
        sql = self._dialect.cast(f"{component}({staged})", kind)
        return State(self._name(f"{aggregate.column or 'row'}__{component}"), kind, sql, component)

    def _name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}__{number}"
        self._taken.add(name.lower())
        return name


def default(aggregate: AggregateSpec) -> int | None:
    """The aggregate's value where there is no row at all."""
    return 0 if aggregate.function == "count" else None


def shifts(aggregates: Sequence[AggregateSpec], tile: timedelta, attributes: bool) -> list[timedelta]:
    """How long after a tile's start a value may change, before rounding up to the schedule.

    A tile enters a window at I - O and leaves it at W - O + I (the first instant whose window no longer holds its
    start); a row feature changes when its tile is complete.
    """
    found = {tile} if attributes else set()
    for aggregate in aggregates:
        found |= {tile - aggregate.offset, aggregate.window - aggregate.offset + tile}
    return sorted(found)
