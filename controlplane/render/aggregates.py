"""The algebra of partial aggregates: which states a tile holds, how they merge over a window, what they mean.

Functions share states: the mean of a column needs its sum and its count, and `sum` and `count` over the same column
need nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.registry.manifest import AggregateSpec
from controlplane.render import states
from controlplane.render.dialects import Dialect
from controlplane.render.states import Kind, Rows, needed

Input = tuple[str | None, str | None]
"""What is aggregated: a column (None: the row itself) and a condition."""


@dataclass(frozen=True)
class Staged:
    """A column of the stage that aggregates read: the input, its name, and its SQL over the user's rows."""

    name: str
    sql: str


@dataclass(frozen=True)
class State:
    """A column of the tile table: its name and SQL type, and how it is made from the stage."""

    name: str
    type: str
    sql: str


class TileSchema:
    """The stage's and the tiles' columns for some aggregates, and each aggregate as an expression over tiles.

    `order` names the columns of the stage that put rows of a tile into order, before the value itself does.
    """

    def __init__(
        self, aggregates: Sequence[AggregateSpec], taken: set[str], order: Sequence[str], dialect: Dialect
    ) -> None:
        self._dialect = dialect
        self._order = order
        self._taken = {name.lower() for name in taken}
        self.staged: dict[Input, Staged] = {}
        self.merged: dict[str, str] = {}
        self.states: dict[tuple[Input, str], State] = {}
        for aggregate in aggregates:
            source = (aggregate.column, aggregate.where)
            if source not in self.staged:
                self.staged[source] = self._stage(source)
            for kind in needed(aggregate):
                if (source, kind.label) not in self.states:
                    self.states[source, kind.label] = self._state(source, kind, aggregate)

    def value(self, aggregate: AggregateSpec, tiles: str, at: str) -> str:
        """The aggregate, in its own type, over columns of `merged`.

        What it needs of the rows of `tiles` that its window at the instant `at` holds is added to `merged`, which is
        SQL of aggregates over these rows -> the name of its column.
        """
        d = self._dialect
        end = d.plus(at, aggregate.offset)
        start = d.plus(at, aggregate.offset - aggregate.window)
        inside = f"{tiles}.tile_start >= {start} AND {tiles}.tile_start < {end}"
        source = (aggregate.column, aggregate.where)
        columns = {kind.label: f"{tiles}.{d.quote(self.states[source, kind.label].name)}" for kind in needed(aggregate)}
        window = Window(d, columns, f"{tiles}.tile_start", inside, self.merged)
        return d.cast(_MEANINGS[aggregate.function](window, aggregate), aggregate.type)

    def _stage(self, source: Input) -> Staged:
        column, condition = source
        value = self._dialect.quote(column) if column else "1"
        sql = f"CASE WHEN ({condition}\n) THEN {value} END" if condition else value
        return Staged(self._name(f"{column or 'row'}__input"), sql)

    def _state(self, source: Input, kind: Kind, aggregate: AggregateSpec) -> State:
        d = self._dialect
        column = aggregate.column_type or "int64"
        value = d.quote(self.staged[source].name)
        order = ", ".join(f"{name} NULLS FIRST" for name in [*self._order, value])
        sql = f"CAST({kind.made(d, Rows(value, column, order))} AS {kind.type(d, column)})"
        return State(self._name(f"{aggregate.column or 'row'}__{kind.label}"), kind.type(d, column), sql)

    def _name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}__{number}"
        self._taken.add(name.lower())
        return name


@dataclass(frozen=True)
class Window:
    """The tiles of one window, to merge states over: `columns` are the states by label, `inside` says which tiles."""

    dialect: Dialect
    columns: dict[str, str]
    tile_start: str
    inside: str
    found: dict[str, str]

    def column(self, sql: str) -> str:
        """The name of the column that holds this aggregate over the tiles."""
        return self.found.setdefault(sql, f"m{len(self.found)}")

    def merged(self, function: str, label: str) -> str:
        """A plain aggregate over a state."""
        return self.column(f"{function}({self.columns[label]}) FILTER (WHERE {self.inside})")

    def listed(self, x: str, label: str) -> str:
        """The values of `x`, one for each tile that has the state, in order; null where the window holds none."""
        kept = f"{self.columns[label]} IS NOT NULL AND {self.inside}"
        return self.column(self.dialect.collect(x, self.tile_start, kept))

    def items(self, label: str) -> str:
        """The items of list states, tile after tile; null where the window holds none."""
        return self.column(f"flatten({self.dialect.collect(self.columns[label], self.tile_start, self.inside)})")

    def only(self) -> str:
        """The label of the one state."""
        [label] = self.columns
        return label


Meaning = Callable[[Window, AggregateSpec], str]


def _plain(function: str, label: str) -> Meaning:
    return lambda window, _: window.merged(function, label)


def _count(window: Window, _: AggregateSpec) -> str:
    return f"coalesce({window.merged('sum', 'count')}, 0)"


def _mean(window: Window, _: AggregateSpec) -> str:
    d = window.dialect
    total, count = (d.cast(window.merged("sum", label), "float64") for label in ("sum", "count"))
    return f"CASE WHEN {window.merged('sum', 'count')} > 0 THEN {total} / {count} END"


def _moments(window: Window) -> str:
    """Count, mean and M2 of the whole window: Chan, Golub and LeVeque's pairwise update, tile after tile."""
    count, mean, m2 = (window.columns[label] for label in ("count", "mean", "m2"))
    tiles = window.listed(f"struct_pack(n := CAST({count} AS DOUBLE), mean := {mean}, m2 := {m2})", "mean")
    return (
        f"list_reduce({tiles}, lambda a, b: struct_pack(n := a.n + b.n, "
        "mean := a.mean + (b.mean - a.mean) * b.n / (a.n + b.n), "
        "m2 := a.m2 + b.m2 + (b.mean - a.mean) * (b.mean - a.mean) * a.n * b.n / (a.n + b.n)))"
    )


def _variance(sample: bool, root: bool) -> Meaning:
    def meaning(window: Window, _: AggregateSpec) -> str:
        moments, count = _moments(window), window.merged("sum", "count")
        less, least = ("- 1", 2) if sample else ("", 1)
        value = f"({moments}).m2 / (({moments}).n {less})"
        return f"CASE WHEN {count} >= {least} THEN {f'sqrt({value})' if root else value} END"

    return meaning


def _end(first: bool) -> Meaning:
    def meaning(window: Window, _: AggregateSpec) -> str:
        items = window.items(window.only())
        return window.dialect.item(items, "1" if first else "-1")

    return meaning


def _several(first: bool, different: bool) -> Meaning:
    def meaning(window: Window, aggregate: AggregateSpec) -> str:
        d, items = window.dialect, window.items(window.only())
        if different:
            items = d.keep_first(items) if first else d.keep_last(items)
        chosen = (d.first_of if first else d.last_of)(items, aggregate.n or 1)
        return f"coalesce({chosen}, {d.empty_list()})"

    return meaning


def _count_distinct(window: Window, _: AggregateSpec) -> str:
    d = window.dialect
    return f"coalesce({d.length(d.distinct(window.items('distinct')))}, 0)"


def _approx_count_distinct(window: Window, _: AggregateSpec) -> str:
    """Bottom-k: with the k-th smallest of uniform hashes at x, about (k - 1) / x are different."""
    d, k = window.dialect, states.KEPT_HASHES
    kept = d.first_of(d.ascending(d.distinct(window.items("hashes"))), k)
    estimate = f"round({k - 1} / {d.hash_share(d.item(kept, str(k)))})"
    count = d.length(kept)
    return f"CASE WHEN coalesce({count}, 0) < {k} THEN coalesce({count}, 0) ELSE {estimate} END"


def _percentile(window: Window, aggregate: AggregateSpec) -> str:
    """Linear interpolation between the two nearest ranks: position q (n - 1), from 0."""
    d = window.dialect
    values = d.ascending(window.items("values"))
    place = f"({aggregate.q!r} * ({d.length(values)} - 1))"
    lower, upper = (
        d.cast(d.item(values, f"CAST({edge}({place}) AS BIGINT) + 1"), "float64") for edge in ("floor", "ceil")
    )
    share = f"({place} - floor({place}))"
    return f"CASE WHEN {share} = 0 THEN {lower} ELSE {lower} * (1 - {share}) + {upper} * {share} END"


def _approx_percentile(window: Window, aggregate: AggregateSpec) -> str:
    """The middle of the first bucket whose values and all before are more than q (n - 1)."""
    d = window.dialect
    maps = f"map_entries({window.columns['buckets']})"
    entries = f"flatten({window.listed(maps, 'buckets')})"
    counted = (
        f"list_transform({d.ascending(entries)}, lambda e: struct_pack(seen := CAST(e.value AS DOUBLE), at := e.key))"
    )
    total = f"list_sum(list_transform({entries}, lambda e: CAST(e.value AS DOUBLE)))"
    rank = f"({aggregate.q!r} * ({total} - 1))"
    found = (
        f"(list_reduce({counted}, lambda a, e: CASE WHEN a.seen > {rank} THEN a "
        "ELSE struct_pack(seen := a.seen + e.seen, at := e.at) END)).at"
    )
    size = f"2 * pow({states.GAMMA!r}, abs({found}) - {states.ORIGIN}) / ({states.GAMMA!r} + 1)"
    infinite, nan = (d.cast(d.text(text), "float64") for text in ("inf", "nan"))
    return (
        f"CASE WHEN {found} = 0 THEN 0 WHEN {found} = {states.NOT_A_NUMBER} THEN {nan} "
        f"WHEN abs({found}) = {states.INFINITE} THEN sign({found}) * {infinite} ELSE sign({found}) * {size} END"
    )


_MEANINGS: dict[str, Meaning] = {
    "count": _count,
    "sum": _plain("sum", "sum"),
    "mean": _mean,
    "min": _plain("min", "min"),
    "max": _plain("max", "max"),
    "var_samp": _variance(sample=True, root=False),
    "var_pop": _variance(sample=False, root=False),
    "stddev_samp": _variance(sample=True, root=True),
    "stddev_pop": _variance(sample=False, root=True),
    "first": _end(first=True),
    "last": _end(first=False),
    "first_n": _several(first=True, different=False),
    "last_n": _several(first=False, different=False),
    "first_distinct_n": _several(first=True, different=True),
    "last_distinct_n": _several(first=False, different=True),
    "count_distinct": _count_distinct,
    "approx_count_distinct": _approx_count_distinct,
    "percentile": _percentile,
    "approx_percentile": _approx_percentile,
}


def default(aggregate: AggregateSpec) -> int | tuple[()] | None:
    """The aggregate's value where there is no row at all: 0 for counts, an empty list, else null."""
    if aggregate.function in ("count", "count_distinct", "approx_count_distinct"):
        return 0
    return () if aggregate.type.startswith("array<") else None


def shifts(aggregates: Sequence[AggregateSpec], tile: timedelta, attributes: bool) -> list[timedelta]:
    """How long after a tile's start a value may change, before rounding up to the schedule.

    A tile enters a window at I - O and leaves it at W - O + I (the first instant whose window no longer holds its
    start); a row feature changes when its tile is complete.
    """
    found = {tile} if attributes else set()
    for aggregate in aggregates:
        found |= {tile - aggregate.offset, aggregate.window - aggregate.offset + tile}
    return sorted(found)
