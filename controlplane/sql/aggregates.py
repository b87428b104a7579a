"""The algebra of partial aggregates: which states a tile holds, how they merge over a window, what
they mean.

Functions share states: the mean of a column needs its sum and its count, and `sum` and `count` over
the same column need nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from controlplane.base.types import is_list, item_type
from controlplane.codec import Default
from controlplane.manifest.specs import AggregateSpec
from controlplane.manifest.windows import SeriesWindow
from controlplane.sql import states
from controlplane.sql.dialects import NULLS_FIRST, Dialect
from controlplane.sql.ranges import INT64, Owner, checked
from controlplane.sql.states import COUNT, Kind, Rows, needed
from controlplane.sql.windows import Frame, Frames, Window

Input = tuple[str | None, str | None]
"""What is aggregated: a column (None: the row itself) and a condition."""


class Staged(msgspec.Struct, frozen=True):
    """A column of the stage that aggregates read: its name, its SQL over the user's rows, and the
    type of the value; `column` is the user's name of what is read, None for the row itself."""

    name: str
    sql: str
    type: str
    column: str | None


class State(msgspec.Struct, frozen=True):
    """A column of the tile table: its name and SQL type, and how it is made from the stage.

    `rolled` is its type in rollups, which do not keep every kind.
    """

    name: str
    type: str
    sql: str
    kind: Kind
    rolled: str | None


class Windows(msgspec.Struct, frozen=True):
    """Aggregates over tiles, as names with SQL: what is `merged` of the tiles, and their `values`
    over that."""

    merged: list[tuple[str, str]]
    values: list[tuple[str, str]]


class Names:
    """Gives columns names that nothing else has."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = {name.lower() for name in taken}

    def of(self, wanted: str) -> str:
        """The wanted name, with a number behind it where it is taken."""
        name, number = wanted, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}__{number}"
        self._taken.add(name.lower())
        return name


class TileSchema:
    """The stage's and the tiles' columns for some aggregates, and each aggregate as an expression
    over tiles.

    `order` names the columns of the stage that put rows of a tile into order, before the value
    itself does; `owner` is whom an error names.
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
        self._order = [f"{one}{NULLS_FIRST}" for one in order]
        self._names = names
        self._aggregates = aggregates
        self.staged: dict[Input, Staged] = {}
        self.states: dict[tuple[Input, str], State] = {}
        for aggregate in aggregates:
            for kind in needed(aggregate):
                self._need((aggregate.column, aggregate.where), aggregate, kind)
            if aggregate.by:
                self._need((None, aggregate.where), None, COUNT)

    def windows(self, frames: Frames) -> Windows:
        """All aggregates over these frames."""
        values = [(self._dialect.quote(a.name), self.value(a, frames)) for a in self._aggregates]
        return Windows([(name, sql) for sql, name in frames.merged.items()], values)

    def value(self, aggregate: AggregateSpec, frames: Frames) -> str:
        """The aggregate, in its own type, over columns of `frames.merged`, to which it adds what it
        needs."""
        source = (aggregate.column, aggregate.where)
        labels = [kind.label for kind in needed(aggregate)]
        values = [
            _MEANINGS[aggregate.function](
                self._window(source, labels, frame, frames.merged), aggregate
            )
            for frame in frames.of(aggregate)
        ]
        d = self._dialect
        whole = isinstance(aggregate.window, SeriesWindow)
        kind = aggregate.type
        if aggregate.by:
            kind = item_type(kind)
        if aggregate.function == "sum" and aggregate.column_type == "int64":
            values = [self._fitting(value, aggregate) for value in values]
        return d.cast(d.array(values) if whole else values[0], kind)

    def _fitting(self, total: str, aggregate: AggregateSpec) -> str:
        """The sum of integers, which is of a wider type, as one of 64 bits.

        Or else an error that names it.
        """
        wrong = f"({total} < {INT64[0]} OR {total} > {INT64[1]})"
        what = f"feature '{aggregate.name}' (int64)"
        return checked(total, "int64", what, self._owner, self._dialect, wrong)

    def present(self, aggregate: AggregateSpec, frames: Frames) -> str:
        """Whether the window holds any row of a second key's value."""
        window = self._window(
            (None, aggregate.where), [COUNT.label], frames.of(aggregate)[0], frames.merged
        )
        return f"{window.merged('sum', COUNT.label)} > 0"

    def rolled(self) -> Windows:
        """The states that rollups keep, each as that of several tiles."""
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

    def _need(self, source: Input, aggregate: AggregateSpec | None, kind: Kind) -> None:
        column, typed = (aggregate.column, aggregate.column_type) if aggregate else (None, None)
        if source not in self.staged:
            self.staged[source] = self._stage(source, typed or "int64")
        if (source, kind.label) not in self.states:
            self.states[source, kind.label] = self._state(
                source, kind, column or "row", typed or "int64"
            )

    def _stage(self, source: Input, type_: str) -> Staged:
        column, condition = source
        value = self._dialect.quote(column) if column else "1"
        sql = f"CASE WHEN ({condition}\n) THEN {value} END" if condition else value
        return Staged(self._names.of(f"{column or 'row'}__input"), sql, type_, column)

    def _state(self, source: Input, kind: Kind, name: str, column: str) -> State:
        d = self._dialect
        value = d.quote(self.staged[source].name)
        rows, type_ = (
            Rows(value, column, (*self._order, f"{value}{NULLS_FIRST}")),
            kind.type(d, column),
        )
        rolled = type_ if kind.merged else None
        sql = f"CAST({kind.made(d, rows)} AS {type_})"
        return State(self._names.of(f"{name}__{kind.label}"), type_, sql, kind, rolled)


Meaning = Callable[[Window, AggregateSpec], str]


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
    """Bottom-k: with the k-th smallest of uniform hashes at x, about (k - 1) / x are different."""
    d, k = window.dialect, states.KEPT_HASHES
    kept = d.first_of(d.ascending(d.distinct(window.items("hashes"))), k)
    estimate = f"round({k - 1} / {d.hash_share(d.cast(d.item(kept, str(k)), 'string'))})"
    count = d.length(kept)
    return f"CASE WHEN coalesce({count}, 0) < {k} THEN coalesce({count}, 0) ELSE {estimate} END"


def _percentile(window: Window, aggregate: AggregateSpec) -> str:
    """Linear interpolation between the two nearest ranks: position q (n - 1), from 0."""
    d = window.dialect
    values = d.ascending(window.items("values"))
    place = f"({aggregate.q!r} * ({d.length(values)} - 1))"
    lower, upper = (
        d.cast(d.item(values, f"CAST({edge}({place}) AS {d.type('int64')}) + 1"), "float64")
        for edge in ("floor", "ceil")
    )
    share = f"({place} - floor({place}))"
    return (
        f"CASE WHEN {share} = 0 THEN {lower} ELSE {lower} * (1 - {share}) + {upper} * {share} END"
    )


def _approx_percentile(window: Window, aggregate: AggregateSpec) -> str:
    """The middle of the first bucket whose values and all before are more than q (n - 1)."""
    d = window.dialect
    found = d.bucket_at(
        window.listed(d.loose(window.columns["buckets"]), "buckets"), aggregate.q or 0.0
    )
    size = f"2 * pow({states.GAMMA!r}, abs({found}) - {states.ORIGIN}) / ({states.GAMMA!r} + 1)"
    infinite, nan = (d.cast(d.text(text), "float64") for text in ("inf", "nan"))
    return (
        f"CASE WHEN {found} = 0 THEN 0 WHEN {found} = {states.NOT_A_NUMBER} THEN {nan} WHEN"
        f" abs({found}) = {states.INFINITE} THEN sign({found}) * {infinite} ELSE sign({found}) *"
        f" {size} END"
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


def default(aggregate: AggregateSpec) -> Default:
    """The aggregate's value where there is no row at all: 0 for counts, an empty list, else null.

    A series of these.
    """
    if aggregate.by:
        return ()
    nothing = (
        0 if aggregate.function in ("count", "count_distinct", "approx_count_distinct") else None
    )
    if isinstance(aggregate.window, SeriesWindow):
        return (nothing,) * aggregate.window.steps
    return () if is_list(aggregate.type) else nothing


def default_sql(aggregate: AggregateSpec, d: Dialect) -> str | None:
    """The same in SQL; None for null."""
    value = default(aggregate)
    if isinstance(value, tuple):
        return d.cast(
            d.array(["NULL" if item is None else str(item) for item in value]), aggregate.type
        )
    return None if value is None else str(value)
