"""What a tile keeps for the aggregate functions: mergeable states, each one column of the tile table.

A state is made in one pass over a tile's rows and holds all that a function needs of them. Nulls are left out when it
is made. Doubles are never subtracted: variance is kept as count, mean and M2 (Welford), merged as Chan et al. do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from controlplane.registry.functions import FUNCTIONS
from controlplane.registry.manifest import AggregateSpec
from controlplane.render.dialects import Dialect

KEPT_HASHES = 512
"""Smallest hashes that a distinct-count sketch keeps: exact below, else about 4.4 % (1 / sqrt(k - 2)) off."""
RELATIVE_ERROR = 0.01
"""How far the value of a bucket of a percentile sketch (DDSketch) may be from the values in it."""
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
ORIGIN = 1_000_000
"""Added to the bucket of a positive value: its code is then above 0, and that of a negative value below."""
INFINITE, NOT_A_NUMBER = 2_000_000, 2_000_001
"""Buckets of infinities (with their sign) and of NaN."""


class Rows(msgspec.Struct, frozen=True):
    """What a state is made from: the value of each row of a tile, its canonical type, and the order of the rows."""

    value: str
    type: str
    order: str


Made = Callable[[Dialect, Rows], str]


@dataclass(frozen=True)
class Kind:
    """A kind of state: a part of its column's name, its SQL type for a column type, and the SQL that makes it."""

    label: str
    type: Callable[[Dialect, str], str]
    made: Made


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
    return f"avg({d.cast(rows.value, 'float64')})"


def _m2(d: Dialect, rows: Rows) -> str:
    value = d.cast(rows.value, "float64")
    finite = f"var_pop({value}) FILTER (WHERE isfinite({value})) * count({value})"
    return f"CASE WHEN bool_or(NOT isfinite({value})) THEN {d.cast(d.text('nan'), 'float64')} ELSE {finite} END"


def _distinct(d: Dialect, rows: Rows) -> str:
    return d.collect(f"DISTINCT {rows.value}", rows.value, f"{rows.value} IS NOT NULL")


def _values(d: Dialect, rows: Rows) -> str:
    return d.collect(rows.value, rows.value, f"{rows.value} IS NOT NULL")


def _hashes(d: Dialect, rows: Rows) -> str:
    hashed = d.hash64(rows.value, rows.type)
    return d.first_of(d.collect(f"DISTINCT {hashed}", hashed, f"{rows.value} IS NOT NULL"), KEPT_HASHES)


def _buckets(d: Dialect, rows: Rows) -> str:
    return f"histogram({bucket(d, rows.value)}) FILTER (WHERE {rows.value} IS NOT NULL)"


COUNT = Kind("count", _of("int64"), _plain("count"))
SUM = Kind("sum", _gives("sum"), _plain("sum"))
MIN = Kind("min", _gives("min"), _plain("min"))
MAX = Kind("max", _gives("max"), _plain("max"))
MEAN = Kind("mean", _of("float64"), _mean)
M2 = Kind("m2", _of("float64"), _m2)
VALUES = Kind("values", _list, _values)
DISTINCT = Kind("distinct", _list, _distinct)
HASHES = Kind("hashes", _of("array<string>"), _hashes)
BUCKETS = Kind("buckets", lambda _, __: "MAP(BIGINT, UBIGINT)", _buckets)


def first(n: int) -> Kind:
    """The first n values of a tile, in ascending order of time."""
    return Kind(f"first_{n}", _list, lambda d, rows: d.first_of(_collected(d, rows), n))


def last(n: int) -> Kind:
    """The last n values of a tile, in ascending order of time."""
    return Kind(f"last_{n}", _list, lambda d, rows: d.last_of(_collected(d, rows), n))


def first_distinct(n: int) -> Kind:
    """The first n different values of a tile, in ascending order of their first time."""
    return Kind(f"first_distinct_{n}", _list, lambda d, rows: d.first_of(d.keep_first(_collected(d, rows)), n))


def last_distinct(n: int) -> Kind:
    """The last n different values of a tile, in ascending order of their last time."""
    return Kind(f"last_distinct_{n}", _list, lambda d, rows: d.last_of(d.keep_last(_collected(d, rows)), n))


def bucket(d: Dialect, x: str) -> str:
    """The bucket of a value: ceil(ln |x| / ln gamma), coded so that the order of buckets is that of values."""
    value = d.cast(x, "float64")
    code = f"CAST({ORIGIN} + ceil(ln(abs({value})) / ln({GAMMA!r})) AS {d.type('int64')})"
    return (
        f"CASE WHEN {value} = 0 THEN 0 WHEN isnan({value}) THEN {NOT_A_NUMBER} "
        f"WHEN NOT isfinite({value}) THEN CASE WHEN {value} > 0 THEN {INFINITE} ELSE -{INFINITE} END "
        f"WHEN {value} > 0 THEN {code} ELSE -{code} END"
    )


def needed(aggregate: AggregateSpec) -> tuple[Kind, ...]:
    """The states that a function needs."""
    return _needed(aggregate.function, aggregate.n or 1)


@lru_cache(maxsize=1000)
def _needed(function: str, n: int) -> tuple[Kind, ...]:
    kinds: dict[str, tuple[Kind, ...]] = {
        "count": (COUNT,),
        "sum": (SUM,),
        "mean": (SUM, COUNT),
        "min": (MIN,),
        "max": (MAX,),
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
    return kinds.get(function, (COUNT, MEAN, M2))
