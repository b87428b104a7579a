"""The algebra of partial aggregates: the states of a tile, their merge over a window, their value.

Functions share states: the mean of a column needs its sum and its count, and `sum` and `count` over
the same column need no further state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from controlplane.base.types import item_type
from controlplane.manifest.specs import AggregateSpec
from controlplane.manifest.windows import SeriesWindow
from controlplane.sql import states
from controlplane.sql.dialects import NULLS_FIRST, Dialect
from controlplane.sql.ranges import INT64, Owner, checked
from controlplane.sql.states import COUNT, Kind, Rows, needed
from controlplane.sql.windows import Frame, Frames, Window

Input = tuple[str | None, str | None]
"""The input of an aggregate: a column (None: the row itself) and a condition."""


class Staged(msgspec.Struct, frozen=True):
    """A column of the stage that aggregates read.

    Attributes:
        name: Its name.
        sql: Its SQL over the rows of the user's SQL.
        type: The canonical type of the value.
        column: The user's column that is read; None for the row itself.
    """

    name: str
    sql: str
    type: str
    column: str | None


class State(msgspec.Struct, frozen=True):
    """A column of the tile table: its name, its SQL type, and its SQL over the stage.

    `rolled` is its type in rollups; None if rollups don't keep it.
    """

    name: str
    type: str
    sql: str
    kind: Kind
    rolled: str | None


class Windows(msgspec.Struct, frozen=True):
    """Aggregates over tiles, as names with SQL: `merged` over tiles, `values` over `merged`."""

    merged: list[tuple[str, str]]
    values: list[tuple[str, str]]


class Names:
    """Gives columns unique names."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = {name.lower() for name in taken}

    def of(self, base: str) -> str:
        """Return the base name, with a number after it if the name is taken."""
        name, number = base, 1
        # DuckDB and Spark ignore the case even of quoted names: `Amount` and `amount` collide.
        while name.lower() in self._taken:
            number += 1
            name = f"{base}__{number}"
        self._taken.add(name.lower())
        return name


class TileSchema:
    """The columns of stage and tiles for some aggregates, and the aggregates as SQL over tiles.

    `order` names the columns of the stage that order the rows of a tile; the value itself breaks
    ties. `owner` is the owner that an error names.
    """

    def __init__(
        self,
        aggregates: Sequence[AggregateSpec],
        names: Names,
        order: Sequence[str],
        dialect: Dialect,
        owner: Owner,
    ) -> None:
        self._dialect = dialect
        self._owner = owner
        self._order = [f"{column}{NULLS_FIRST}" for column in order]
        self._names = names
        self._aggregates = aggregates
        self.staged: dict[Input, Staged] = {}
        self.states: dict[tuple[Input, str], State] = {}
        for aggregate in aggregates:
            for state in needed(aggregate):
                self._need((aggregate.column, aggregate.where), aggregate, state)
            if aggregate.by:
                # The count tells whether a value of the secondary key occurs in a window at all.
                self._need((None, aggregate.where), None, COUNT)

    def windows(self, frames: Frames) -> Windows:
        """Render all aggregates over these frames."""
        values = [(self._dialect.quote(a.name), self.value(a, frames)) for a in self._aggregates]
        return Windows([(name, sql) for sql, name in frames.merged.items()], values)

    def value(self, aggregate: AggregateSpec, frames: Frames) -> str:
        """Render an aggregate in its own type, over columns that it adds to `frames.merged`."""
        source = (aggregate.column, aggregate.where)
        labels = [state.label for state in needed(aggregate)]
        values = [
            _MEANINGS[aggregate.function](
                self._window(source, labels, frame, frames.merged), aggregate
            )
            for frame in frames.of(aggregate)
        ]
        d = self._dialect
        is_series = isinstance(aggregate.window, SeriesWindow)
        # Here one value of the secondary key is aggregated; `SecondaryKey` lists them.
        canonical = item_type(aggregate.type) if aggregate.by else aggregate.type
        if aggregate.function == "sum" and aggregate.column_type == "int64":
            values = [self._fitting(value, aggregate) for value in values]
        return d.cast(d.array(values) if is_series else values[0], canonical)

    def _fitting(self, total: str, aggregate: AggregateSpec) -> str:
        """Render a wide sum of integers as int64, or an error that names the feature."""
        wrong = f"({total} < {INT64[0]} OR {total} > {INT64[1]})"
        label = f"feature '{aggregate.name}' (int64)"
        return checked(total, "int64", label, self._owner, self._dialect, wrong)

    def present(self, aggregate: AggregateSpec, frames: Frames) -> str:
        """Render whether the window holds any row of a secondary key's value."""
        window = self._window(
            (None, aggregate.where), [COUNT.label], frames.of(aggregate)[0], frames.merged
        )
        return f"{window.merged('sum', COUNT.label)} > 0"

    def rolled(self) -> Windows:
        """Render the states that rollups keep, each merged from those of several tiles."""
        merged: dict[str, str] = {}
        values = []
        for (source, label), state in self.states.items():
            if state.kind.merged is not None:
                labels = [other for of, other in self.states if of == source]
                sql = state.kind.merged(self._window(source, labels, Frame(""), merged), label)
                values.append((self._dialect.quote(state.name), f"CAST({sql} AS {state.rolled})"))
        return Windows([(name, sql) for sql, name in merged.items()], values)

    def _window(
        self, source: Input, labels: Sequence[str], frame: Frame, merged: dict[str, str]
    ) -> Window:
        columns = {label: self._dialect.quote(self.states[source, label].name) for label in labels}
        return Window(self._dialect, columns, frame, merged)

    def _need(self, source: Input, aggregate: AggregateSpec | None, state: Kind) -> None:
        column, column_type = (
            (aggregate.column, aggregate.column_type) if aggregate else (None, None)
        )
        # A row itself is staged as the integer 1.
        column_type = column_type or "int64"
        if source not in self.staged:
            self.staged[source] = self._stage(source, column_type)
        if (source, state.label) not in self.states:
            self.states[source, state.label] = self._state(
                source, state, column or "row", column_type
            )

    def _stage(self, source: Input, type_: str) -> Staged:
        column, condition = source
        value = self._dialect.quote(column) if column else "1"
        # The line break ends a comment at the end of the user's condition.
        sql = f"CASE WHEN ({condition}\n) THEN {value} END" if condition else value
        return Staged(self._names.of(f"{column or 'row'}__input"), sql, type_, column)

    def _state(self, source: Input, state: Kind, name: str, column_type: str) -> State:
        d = self._dialect
        value = d.quote(self.staged[source].name)
        rows = Rows(value, column_type, (*self._order, f"{value}{NULLS_FIRST}"))
        type_ = state.type(d, column_type)
        rolled = type_ if state.merged else None
        sql = f"CAST({state.made(d, rows)} AS {type_})"
        return State(self._names.of(f"{name}__{state.label}"), type_, sql, state, rolled)


Meaning = Callable[[Window, AggregateSpec], str]
"""Renders the value of an aggregate from the merged states of a window."""


def _plain(function: str, label: str) -> Meaning:
    return lambda window, _: window.merged(function, label)


def _count(window: Window, _: AggregateSpec) -> str:
    return f"coalesce({window.merged('sum', 'count')}, 0)"


def _mean(window: Window, _: AggregateSpec) -> str:
    d = window.dialect
    state = "sum" if "sum" in window.columns else "total"
    total, count = (d.cast(window.merged("sum", label), "float64") for label in (state, "count"))
    return f"CASE WHEN {window.merged('sum', 'count')} > 0 THEN {total} / {count} END"


def _variance(sample: bool, root: bool) -> Meaning:
    def meaning(window: Window, _: AggregateSpec) -> str:
        n, m2 = (states.moment(window, label) for label in ("n", "m2"))
        count = window.merged("sum", "count")
        less, least = ("- 1", 2) if sample else ("", 1)
        value = f"{m2} / ({n} {less})"
        return f"CASE WHEN {count} >= {least} THEN {f'sqrt({value})' if root else value} END"

    return meaning


def _end(first: bool) -> Meaning:
    def meaning(window: Window, _: AggregateSpec) -> str:
        items = window.items(window.only())
        return window.dialect.item(items, "1") if first else window.dialect.last_item(items)

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
    """Render the bottom-k estimate: with the k-th smallest uniform hash at x, (k - 1) / x."""
    d, k = window.dialect, states.KEPT_HASHES
    kept = d.first_of(d.ascending(d.distinct(window.items("hashes"))), k)
    estimate = f"round({k - 1} / {d.hash_share(d.cast(d.item(kept, str(k)), 'string'))})"
    count = d.length(kept)
    return f"CASE WHEN coalesce({count}, 0) < {k} THEN coalesce({count}, 0) ELSE {estimate} END"


def _percentile(window: Window, aggregate: AggregateSpec) -> str:
    """Render the linear interpolation between the two nearest ranks: position q (n - 1), from 0."""
    d = window.dialect
    values = d.ascending(window.items("values"))
    position = f"({aggregate.q!r} * ({d.length(values)} - 1))"
    lower, upper = (
        d.cast(d.item(values, f"CAST({edge}({position}) AS {d.type('int64')}) + 1"), "float64")
        for edge in ("floor", "ceil")
    )
    share = f"({position} - floor({position}))"
    # Without the first case, an exact rank next to an infinite value would be 0 * inf: NaN.
    return (
        f"CASE WHEN {share} = 0 THEN {lower} ELSE {lower} * (1 - {share}) + {upper} * {share} END"
    )


def _approx_percentile(window: Window, aggregate: AggregateSpec) -> str:
    """Render the middle of the first bucket whose cumulative count exceeds q (n - 1)."""
    d = window.dialect
    sketches = window.listed(d.loose(window.columns["buckets"]), "buckets")
    code = d.bucket_at(sketches, aggregate.q or 0.0)
    size = f"2 * pow({states.GAMMA!r}, abs({code}) - {states.ORIGIN}) / ({states.GAMMA!r} + 1)"
    infinite, nan = (d.cast(d.text(text), "float64") for text in ("inf", "nan"))
    return (
        f"CASE WHEN {code} = 0 THEN 0 WHEN {code} = {states.NOT_A_NUMBER} THEN {nan} "
        f"WHEN abs({code}) = {states.INFINITE} THEN sign({code}) * {infinite} "
        f"ELSE sign({code}) * {size} END"
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


def default_sql(aggregate: AggregateSpec, d: Dialect) -> str | None:
    """Render the aggregate's default; None for null."""
    value = aggregate.default
    if isinstance(value, tuple):
        return d.cast(
            d.array(["NULL" if item is None else str(item) for item in value]), aggregate.type
        )
    return None if value is None else str(value)
