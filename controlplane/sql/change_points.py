"""The moments at which values may change, since a tile enters a window or leaves it."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from controlplane.base.types import MICROSECOND
from controlplane.manifest.specs import ViewSpec
from controlplane.manifest.timing import read_start
from controlplane.sql.dialects import Dialect
from controlplane.sql.extents import Times
from controlplane.sql.windows import shifts, turns


class ChangePoints(NamedTuple):
    """Moments that follow from tiles `t`, as SQL.

    Attributes:
        moment: The moment at which the change shows.
        after: Only tiles that begin after this instant may change what the run computes.
        join: A join with `t` that gives a row for each of its moments.
    """

    moment: str
    after: str
    join: str


def change_points(view: ViewSpec, times: Times, d: Dialect) -> list[ChangePoints]:
    """All moments at which a tile of the view may change values."""
    found = []
    if steps := shifts(view):  # all of them in one pass over the tiles
        values = ", ".join(f"({step // MICROSECOND})" for step in steps)
        join = f"CROSS JOIN (VALUES {values}) AS shifts(micros)"
        instant = d.plus_micros("t.tile_start", "shifts.micros")
        found.append(_change_points(view, times, d, join, instant, steps[-1]))
    for place, later, longest in turns(view):
        periods = (
            f"{d.in_period(f'calendar_{place}', 'own', 't.tile_start')} "
            f"JOIN calendar_{place} AS other ON other.number = own.number + {later}"
        )
        found.append(_change_points(view, times, d, periods, "other.starts_at", longest))
    return found


def _change_points(
    view: ViewSpec, times: Times, d: Dialect, join: str, instant: str, longest: timedelta
) -> ChangePoints:
    moment = d.ceil(instant, view.schedule, view.phase)
    after = d.plus(times.points_after, -longest - view.schedule)
    if (earliest := read_start(view)) < view.start:
        # Tiles before the start fill the first windows: they change nothing earlier.
        first = d.instant(view.start + view.schedule)
        early = f"t.tile_start < {times.start}"
        moment = f"CASE WHEN {early} THEN greatest({moment}, {first}) ELSE {moment} END"
        oldest = d.instant(earliest - view.tile)
        after = f"CASE WHEN {times.points_after} > {times.start} THEN {after} ELSE {oldest} END"
    return ChangePoints(moment, after, join)
