"""Compares the ways of computing a view: an interval evaluated alone, and together with others.

Both must give the same rows. They don't where the order of rows decides something: rows tie in an
ORDER BY, and the warehouse takes another one first. That is no late data, and computing the
interval again does not settle it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval, from_micros, micros
from controlplane.manifest.specs import IntervalByInterval, ViewSpec
from controlplane.sql.dialects import Dialect
from controlplane.verify.oracle import Row, same
from controlplane.verify.questions import hashed
from controlplane.verify.truth import RAW, TIME, Key, Truth
from controlplane.verify.values import fetched

SAMPLED = 5
"""Intervals that are evaluated in both ways."""
MOST_ROWS = 10_000
"""Rows that one way alone returns and that are looked at; those behind them are left out."""
KEPT = 25
"""Differences of a view that are reported; the others are counted."""
_CLOSE = 1e-9
_NOISE = 1e-12
"""What floats may be off, as a share of their column's largest: sums depend on their order."""
_SIDE, _PLACE, _START = "plane__side", "plane__place", "plane__start"


@dataclass(frozen=True)
class Differing:
    """The rows of one entity in an interval that only one of the two ways returns."""

    interval: Interval
    key: Key
    alone: Sequence[Row]
    at_once: Sequence[Row]


def sampled(truth: Truth, warehouse: Warehouse, d: Dialect, seed: int) -> list[Interval]:
    """Some intervals that have rows."""
    view = truth.spec
    start = d.floor(d.quote(TIME), view.schedule, view.phase)
    began = d.quote(_START)
    query = (
        f"{truth.raw()}\nSELECT {began}, {hashed(d, str(seed), [_START])} AS {d.quote(_PLACE)} "
        f"FROM (SELECT DISTINCT {start} AS {began} FROM {RAW}) AS plane_intervals "
        f"ORDER BY {d.quote(_PLACE)} LIMIT {SAMPLED}"
    )
    starts = sorted(from_micros(row[_START]) for row in fetched(warehouse, query, truth.label))
    return [Interval(at, at + view.schedule) for at in starts]


def differing(
    truth: Truth, warehouse: Warehouse, d: Dialect, intervals: Sequence[Interval]
) -> list[Differing]:
    """The rows of some intervals that the two ways don't have in common, by interval and entity."""
    if not intervals:
        return []
    names, side = ", ".join(d.quote(name) for name in truth.columns), d.quote(_SIDE)
    ways = [(f"{number}", truth.alone(one), 1) for number, one in enumerate(intervals)]
    ways.append(("at_once", truth.at_once(intervals), -1))
    sides = "\nUNION ALL\n".join(
        f"SELECT {names}, {sign} AS {side} FROM (\n{query}\n) AS plane_{way}"
        for way, query, sign in ways
    )
    order = ", ".join(d.quote(name) for name in [*truth.keys, TIME])
    query = (
        f"SELECT {names}, {d.cast(f'sum({side})', 'int64')} AS {side} FROM (\n{sides}\n) AS"
        f" plane_sides\nGROUP BY {names} HAVING sum({side}) <> 0 ORDER BY {order} LIMIT"
        f" {MOST_ROWS + 1}"
    )
    rows = list(fetched(warehouse, query, truth.label))
    scales = _scales(rows)

    def belongs(row: Row) -> tuple[Key, Interval]:
        interval = next(
            one for one in intervals if micros(one.start) <= row[TIME] < micros(one.end)
        )
        return tuple(row[name] for name in truth.keys), interval

    groups = [(*where, list(some)) for where, some in groupby(rows, belongs)]
    if len(rows) > MOST_ROWS and len(groups) > 1:
        groups.pop()  # some of its rows are missing
    found = []
    for key, interval, some in groups:
        alone, at_once = _unlike(some, scales)
        if alone or at_once:
            found.append(Differing(interval, key, alone, at_once))
    return found


def _scales(rows: Sequence[Row]) -> Mapping[str, float]:
    """The size of the largest value of each column of floats."""
    scales: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and abs(value) < float("inf"):
                scales[name] = max(scales.get(name, 0.0), abs(value))
    return scales


def _unlike(rows: Sequence[Row], scales: Mapping[str, float]) -> tuple[list[Row], list[Row]]:
    """The rows of either way that have no partner in the other one."""
    alone: list[Row] = []
    at_once: dict[str, list[Row]] = {}
    for row in rows:
        values = {name: value for name, value in row.items() if name != _SIDE}
        if row[_SIDE] > 0:
            alone += [values] * row[_SIDE]
        else:
            at_once.setdefault(_exact(values, scales), []).extend([values] * -row[_SIDE])
    left = []
    for row in alone:
        others = at_once.get(_exact(row, scales), [])
        partner = next((n for n, other in enumerate(others) if _near(row, other, scales)), None)
        if partner is None:
            left.append(row)
        else:
            del others[partner]
    return left, [row for others in at_once.values() for row in others]


def _exact(row: Row, scales: Mapping[str, float]) -> str:
    """What two rows must have in common to the last digit."""
    return repr([value for name, value in row.items() if name not in scales])


def _near(one: Row, other: Row, scales: Mapping[str, float]) -> bool:
    return all(
        same(one[name], other[name], _NOISE / _CLOSE * scale) for name, scale in scales.items()
    )


def hint(view: ViewSpec) -> str:
    """Why the two ways differ, and what to do about it."""
    if not isinstance(view.evaluation, IntervalByInterval):
        return (
            "each row of this view was proved to come from one row of one source, so this is a bug"
            f" in controlplane: please report it with the SQL of {view.name} ({view.location})"
        )
    construct, place = view.evaluation.construct, view.evaluation.location
    return (
        f"{construct} ({place.file}:{place.line}): rows tie in an ORDER BY there, or the SQL"
        " depends on the order of rows in another way. Add columns to each ORDER BY until no two"
        " rows tie, such as a unique id, and deploy. Computing the interval again does not settle"
        " it, and it is no late data. An interval sees no rows of earlier ones: if the SQL needs"
        " them, declare a lookback of the source"
    )
