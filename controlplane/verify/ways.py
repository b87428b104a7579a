"""Compares two ways of computing a view: an interval evaluated alone, and together with others.

Both must give the same rows. They differ if the order of rows decides something: rows tie in an
ORDER BY, and the warehouse takes another one first. Late data is not the cause then, and computing
the interval again does not help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval, from_micros, micros
from controlplane.manifest.specs import IntervalByInterval, ViewSpec
from controlplane.sql.dialects import Dialect
from controlplane.verify.expected import RAW, TIME, Expected, Key
from controlplane.verify.oracle import Row, same
from controlplane.verify.sampling import shuffled
from controlplane.verify.values import fetched

SAMPLED = 5
"""Intervals that are evaluated in both ways."""
MOST_ROWS = 10_000
"""The rows returned by one way alone that are read; later rows are left out."""
KEPT = 25
"""The differences of a view that are reported; the others are counted."""
# The tolerance of `oracle.same`.
_CLOSE = 1e-9
# How far floats may differ, as a share of their column's largest: sums depend on the order.
_NOISE = 1e-12
_SIDE, _PLACE, _START = "plane__side", "plane__place", "plane__start"


@dataclass(frozen=True)
class Differing:
    """The rows of one entity in an interval that only one of the two ways returns."""

    interval: Interval
    key: Key
    alone: Sequence[Row]
    at_once: Sequence[Row]


def sampled(expected: Expected, warehouse: Warehouse, d: Dialect, seed: int) -> list[Interval]:
    """Choose intervals that have rows."""
    view = expected.spec
    start = d.floor(d.quote(TIME), view.schedule, view.phase)
    began = d.quote(_START)
    position = shuffled(d, str(seed), [_START])
    query = (
        f"{expected.raw()}\nSELECT {began}, {position} AS {d.quote(_PLACE)} "
        f"FROM (SELECT DISTINCT {start} AS {began} FROM {RAW}) AS plane_intervals "
        f"ORDER BY {d.quote(_PLACE)} LIMIT {SAMPLED}"
    )
    starts = sorted(from_micros(row[_START]) for row in fetched(warehouse, query, expected.label))
    return [Interval(at, at + view.schedule) for at in starts]


def differing(
    expected: Expected, warehouse: Warehouse, d: Dialect, intervals: Sequence[Interval]
) -> list[Differing]:
    """Return the rows that only one of the two ways returns, by interval and entity."""
    if not intervals:
        return []
    names, side = ", ".join(d.quote(name) for name in expected.columns), d.quote(_SIDE)
    ways = [(f"{number}", expected.alone(interval), 1) for number, interval in enumerate(intervals)]
    ways.append(("at_once", expected.at_once(intervals), -1))
    sides = "\nUNION ALL\n".join(
        f"SELECT {names}, {sign} AS {side} FROM (\n{query}\n) AS plane_{way}"
        for way, query, sign in ways
    )
    order = ", ".join(d.quote(name) for name in [*expected.keys, TIME])
    # One sum for each distinct row: +1 if evaluated alone, -1 with others. Rows of both ways cancel
    # out in the warehouse, so that only the differences are fetched.
    query = (
        f"SELECT {names}, {d.cast(f'sum({side})', 'int64')} AS {side} FROM (\n{sides}\n) AS"
        f" plane_sides\nGROUP BY {names} HAVING sum({side}) <> 0 ORDER BY {order} LIMIT"
        f" {MOST_ROWS + 1}"
    )
    rows = list(fetched(warehouse, query, expected.label))
    scales = _scales(rows)

    def belongs(row: Row) -> tuple[Key, Interval]:
        interval = next(i for i in intervals if micros(i.start) <= row[TIME] < micros(i.end))
        return tuple(row[name] for name in expected.keys), interval

    groups = [(*group, list(group_rows)) for group, group_rows in groupby(rows, belongs)]
    if len(rows) > MOST_ROWS and len(groups) > 1:
        groups.pop()  # the limit cut off some of its rows, so rows may lack their partners
    differences = []
    for key, interval, group_rows in groups:
        # The warehouse groups floats by their last digit, so rows that are alike may remain.
        alone, at_once = _unlike(group_rows, scales)
        if alone or at_once:
            differences.append(Differing(interval, key, alone, at_once))
    return differences


def _scales(rows: Sequence[Row]) -> Mapping[str, float]:
    """Return the largest absolute value of each float column."""
    scales: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and abs(value) < float("inf"):
                scales[name] = max(scales.get(name, 0.0), abs(value))
    return scales


def _unlike(rows: Sequence[Row], scales: Mapping[str, float]) -> tuple[list[Row], list[Row]]:
    """Return the rows of each way without a partner in the other: alone, at once."""
    alone: list[Row] = []
    at_once: dict[str, list[Row]] = {}
    for row in rows:
        values = {name: value for name, value in row.items() if name != _SIDE}
        if row[_SIDE] > 0:
            alone += [values] * row[_SIDE]
        else:
            at_once.setdefault(_exact(values, scales), []).extend([values] * -row[_SIDE])
    unmatched = []
    for row in alone:
        others = at_once.get(_exact(row, scales), [])
        partner = next((n for n, other in enumerate(others) if _near(row, other, scales)), None)
        if partner is None:
            unmatched.append(row)
        else:
            del others[partner]
    return unmatched, [row for others in at_once.values() for row in others]


def _exact(row: Row, scales: Mapping[str, float]) -> str:
    """Return the values that two partners must have in common exactly: all but floats."""
    return repr([value for name, value in row.items() if name not in scales])


def _near(row: Row, other: Row, scales: Mapping[str, float]) -> bool:
    return all(
        same(row[name], other[name], _NOISE / _CLOSE * scale) for name, scale in scales.items()
    )


def hint(view: ViewSpec) -> str:
    """Say why the two ways differ, and what to do."""
    if not isinstance(view.evaluation, IntervalByInterval):
        return (
            "each row of this view was proved to come from one row of one source, so this is a bug"
            f" in controlplane: please report it with the SQL of {view.name} ({view.location})"
        )
    construct, location = view.evaluation.construct, view.evaluation.location
    return (
        f"{construct} ({location.file}:{location.line}): rows tie in an ORDER BY there, or the SQL"
        " depends on the order of rows in another way. Add columns to each ORDER BY until no two"
        " rows tie, such as a unique id, and deploy. Computing the interval again does not help,"
        " and late data is not the cause. An interval sees no rows of earlier intervals: if the SQL"
        " needs them, declare a lookback of the source"
    )
