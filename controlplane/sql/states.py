"""The mergeable states that a tile keeps for aggregate functions, each one column of its table.

A state is computed in one pass over a tile's rows, without nulls, and holds all that a function
needs of them. Doubles are never subtracted: variance is kept as count, mean and M2 (Welford), and
merged with the pairwise update of Chan et al.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from controlplane.manifest.functions import FUNCTIONS, sum_fits
from controlplane.manifest.specs import AggregateSpec
from controlplane.sql.dialects import Dialect
from controlplane.sql.windows import Window

KEPT_HASHES = 512
"""How many smallest hashes a distinct-count sketch keeps.

Counts below are exact. Above, the standard error is about 4.4 %: 1 / sqrt(k - 2).
"""
RELATIVE_ERROR = 0.01
"""The relative error of a bucket of a percentile sketch (DDSketch)."""
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
# Finite doubles have buckets from -37,220 to 35,488, so the codes of the two signs and the special
# codes below are far apart.
ORIGIN = 1_000_000
"""Added to the bucket of a value, so that codes of positive values are above 0.

The code of a negative value is the negated code of its absolute value.
"""
INFINITE, NOT_A_NUMBER = 2_000_000, 2_000_001
"""The buckets of infinities (with their sign) and of NaN."""


class Rows(msgspec.Struct, frozen=True):
    """The rows of a tile: the SQL of their value, its canonical type, and the rows' order."""

    value: str
    type: str
    order: tuple[str, ...]


Made = Callable[[Dialect, Rows], str]
"""Renders the aggregate that makes a state of rows."""
Merged = Callable[[Window, str], str]
"""Renders the state of several tiles from the tiles' states with a label."""


@dataclass(frozen=True)
class Kind:
    """A kind of state.

    Attributes:
        label: The end of its column's name.
        type: Renders its SQL type for the type of the aggregated column.
        made: Renders the SQL that makes it of rows.
        merged: Renders the merge of several tiles' states. None if the merged state would grow with
            the rows: rollups don't keep such states.
    """

    label: str
    type: Callable[[Dialect, str], str]
    made: Made
    merged: Merged | None = None


def _of(canonical: str) -> Callable[[Dialect, str], str]:
    return lambda d, _: d.type(canonical)


def _gives(function: str) -> Callable[[Dialect, str], str]:
    return lambda d, column: d.type(FUNCTIONS[function].gives(column))


def _list(d: Dialect, column: str) -> str:
    return d.type(f"array<{column}>")


def _plain(function: str) -> Made:
    return lambda _, rows: f"{function}({rows.value})"


def _collected(d: Dialect, rows: Rows) -> str:
    return d.collect(rows.value, rows.order, f"{rows.value} IS NOT NULL")


def _mean(d: Dialect, rows: Rows) -> str:
    """Render the mean of a tile's values; of equal values it is exactly their value."""
    # avg() rounds: three times 0.1 would have a mean next to 0.1, and a variance next to 0.
    value = d.cast(rows.value, "float64")
    return f"CASE WHEN min({value}) = max({value}) THEN min({value}) ELSE avg({value}) END"


def _m2(d: Dialect, rows: Rows) -> str:
    value = d.cast(rows.value, "float64")
    finite = f"{d.filtered('var_pop', value, d.finite(value))} * count({value})"
    # var_pop fails on an infinite value in some warehouses: there the state is NaN in all of them.
    odd = d.filtered("count", "1", f"NOT {d.finite(value)}")
    return f"CASE WHEN {odd} > 0 THEN {d.cast(d.text('nan'), 'float64')} ELSE {finite} END"


def _distinct(d: Dialect, rows: Rows) -> str:
    return d.collect_distinct(rows.value)


def _values(d: Dialect, rows: Rows) -> str:
    return d.collect(rows.value, [rows.value], f"{rows.value} IS NOT NULL")


def _hashes(d: Dialect, rows: Rows) -> str:
    # md5, which all warehouses have: with their own hashes, their estimates would differ.
    return d.first_of(d.collect_distinct(d.hash64(rows.value, rows.type)), KEPT_HASHES)


def _buckets(d: Dialect, rows: Rows) -> str:
    return d.buckets(bucket(d, rows.value), f"{rows.value} IS NOT NULL")


def _wide_sum(d: Dialect, column: str) -> str:
    """Return the type of a partial sum, which is wider than that of the whole sum."""
    # Only the sum of a whole window must fit into 64 bits; a mean needs no sum that fits.
    return d.wide_integer if column == "int64" else d.type(FUNCTIONS["sum"].gives(column))


def _sum(d: Dialect, rows: Rows) -> str:
    return d.exact_sum(rows.value, rows.type)


def _total(d: Dialect, rows: Rows) -> str:
    return f"sum({d.cast(rows.value, 'float64')})"


def _again(function: str) -> Merged:
    return lambda window, label: window.merged(function, label)


def moments(window: Window) -> str:
    """Render count, mean and M2 of the whole window.

    Tiles are merged one by one with the pairwise update of Chan, Golub and LeVeque (1983).
    """
    d = window.dialect
    count, mean, m2 = (window.columns[label] for label in ("count", "mean", "m2"))
    types = dict.fromkeys(("n", "mean", "m2"), d.type("float64"))
    tiles = window.listed(d.struct({"n": d.cast(count, "float64"), "mean": mean, "m2": m2}), "mean")
    an, am, a2, bn, bm, b2 = (d.member(x, name, types[name]) for x in "ab" for name in types)
    merged = {
        "n": f"{an} + {bn}",
        "mean": f"{am} + ({bm} - {am}) * {bn} / ({an} + {bn})",
        "m2": f"{a2} + {b2} + ({bm} - {am}) * ({bm} - {am}) * {an} * {bn} / ({an} + {bn})",
    }
    return d.fold(tiles, d.struct(merged), types)


def moment(window: Window, label: str) -> str:
    """Render one of `n`, `mean` and `m2` of the whole window."""
    return window.dialect.member(moments(window), label, window.dialect.type("float64"))


def _smallest_hashes(window: Window, label: str) -> str:
    d = window.dialect
    return d.first_of(d.ascending(d.distinct(window.items(label))), KEPT_HASHES)


COUNT = Kind("count", _of("int64"), _plain("count"), _again("sum"))
SUM = Kind("sum", _wide_sum, _sum, _again("sum"))
TOTAL = Kind("total", _of("float64"), _total, _again("sum"))
MIN = Kind("min", _gives("min"), _plain("min"), _again("min"))
MAX = Kind("max", _gives("max"), _plain("max"), _again("max"))
MEAN = Kind("mean", _of("float64"), _mean, moment)
M2 = Kind("m2", _of("float64"), _m2, moment)
VALUES = Kind("values", _list, _values)
DISTINCT = Kind("distinct", _list, _distinct)
HASHES = Kind("hashes", _of("array<string>"), _hashes, _smallest_hashes)
BUCKETS = Kind("buckets", lambda d, _: d.buckets_type(), _buckets)


def first(n: int) -> Kind:
    """Keep the first n values of a tile, in ascending order of time."""
    return _ends(f"first_{n}", lambda d, items: d.first_of(items, n))


def last(n: int) -> Kind:
    """Keep the last n values of a tile, in ascending order of time."""
    return _ends(f"last_{n}", lambda d, items: d.last_of(items, n))


def first_distinct(n: int) -> Kind:
    """Keep the first n different values of a tile, in ascending order of their first time."""
    return _ends(f"first_distinct_{n}", lambda d, items: d.first_of(d.keep_first(items), n))


def last_distinct(n: int) -> Kind:
    """Keep the last n different values of a tile, in ascending order of their last time."""
    return _ends(f"last_distinct_{n}", lambda d, items: d.last_of(d.keep_last(items), n))


def _ends(label: str, kept: Callable[[Dialect, str], str]) -> Kind:
    """Keep some values at one end of a tile; merging keeps the same of the tiles' kept values."""
    return Kind(
        label,
        _list,
        lambda d, rows: kept(d, _collected(d, rows)),
        lambda window, label: kept(window.dialect, window.items(label)),
    )


def bucket(d: Dialect, x: str) -> str:
    """Render the bucket of a value: ceil(ln |x| / ln gamma).

    It is coded so that buckets have the order of their values.
    """
    value = d.cast(x, "float64")
    code = f"CAST({ORIGIN} + ceil(ln(abs({value})) / ln({GAMMA!r})) AS {d.type('int64')})"
    return (
        f"CASE WHEN {value} = 0 THEN 0 WHEN {d.not_a_number(value)} THEN {NOT_A_NUMBER} "
        f"WHEN NOT {d.finite(value)} "
        f"THEN CASE WHEN {value} > 0 THEN {INFINITE} ELSE -{INFINITE} END "
        f"WHEN {value} > 0 THEN {code} ELSE -{code} END"
    )


def needed(aggregate: AggregateSpec) -> tuple[Kind, ...]:
    """List the states that an aggregate needs."""
    return _needed(aggregate.function, aggregate.n or 1, aggregate.column_type or "int64")


@lru_cache(maxsize=1000)
def _needed(function: str, n: int, column_type: str) -> tuple[Kind, ...]:
    states: dict[str, tuple[Kind, ...]] = {
        "count": (COUNT,),
        "sum": (SUM,),
        "mean": (SUM if sum_fits(column_type) else TOTAL, COUNT),
        "min": (MIN,),
        "max": (MAX,),
        **dict.fromkeys(("var_samp", "var_pop", "stddev_samp", "stddev_pop"), (COUNT, MEAN, M2)),
        "first": (first(1),),
        "last": (last(1),),
        "first_n": (first(n),),
        "last_n": (last(n),),
        "first_distinct_n": (first_distinct(n),),
        "last_distinct_n": (last_distinct(n),),
        "count_distinct": (DISTINCT,),
        "approx_count_distinct": (HASHES,),
        "percentile": (VALUES,),
        "approx_percentile": (BUCKETS,),
    }
    return states[function]
