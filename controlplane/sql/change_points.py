"""The moments at which values may change because a tile enters or leaves a window."""

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
    """The change points of tiles `t`, as SQL.

    Attributes:
        moment: The moment at which the change becomes visible.
        after: Only tiles that begin after this instant can change what the run computes.
        join: A join with `t` that yields one row for each moment of a tile.
        moving: The condition on a tile that it may change what a run of the next interval computes.
    """

    moment: str
    after: str
    join: str
    moving: str


def change_points(view: ViewSpec, times: Times, d: Dialect) -> list[ChangePoints]:
    """List the moments at which a tile of the view may change values."""
    points = []
    if steps := shifts(view):
        # One join with all shifts reads the tiles once; a UNION would read them for each shift.
        values = ", ".join(f"({step // MICROSECOND})" for step in steps)
        join = f"CROSS JOIN (VALUES {values}) AS shifts(micros)"
        instant = d.plus_micros("t.tile_start", "shifts.micros")
        points.append(
            _change_points(view, times, d, join, instant, steps[-1], _moving(view, times, d, steps))
        )
    for index, later, longest in turns(view):
        periods = (
            f"{d.in_period(f'calendar_{index}', 'own', 't.tile_start')} "
            f"JOIN calendar_{index} AS other ON other.number = own.number + {later}"
        )
        points.append(_change_points(view, times, d, periods, "other.starts_at", longest))
    return points


def _moving(view: ViewSpec, times: Times, d: Dialect, steps: list[timedelta]) -> str:
    """Render the condition that a tile enters or leaves a window in the run's interval.

    A tile does so after a step if it begins in the interval moved back by the step. An interval is
    at least as long as the schedule, so the ranges of steps that are no farther apart touch.
    """
    ranges = [(steps[0], steps[0])]
    for step in steps[1:]:
        first, last = ranges[-1]
        if step - last <= view.schedule:
            ranges[-1] = (first, step)
        else:
            ranges.append((step, step))
    conditions = [
        f"t.tile_start > {d.plus(times.points_after, -last)}"
        f" AND t.tile_start <= {d.plus(times.watermark, -first)}"
        for first, last in ranges
    ]
    if read_start(view) < view.start:
        # The first interval also fills its windows with tiles from before the view's start.
        conditions.append(f"{times.points_after} = {times.start} AND t.tile_start < {times.start}")
    return "(" + " OR ".join(conditions) + ")"


def _change_points(
    view: ViewSpec,
    times: Times,
    d: Dialect,
    join: str,
    instant: str,
    longest: timedelta,
    moving: str = "",
) -> ChangePoints:
    moment = d.ceil(instant, view.schedule, view.phase)
    after = d.plus(times.points_after, -longest - view.schedule)
    if (earliest := read_start(view)) < view.start:
        # Tiles before the view's start only fill its first windows. Without this case they would
        # make points before the start.
        first = d.instant(view.start + view.schedule)
        early = f"t.tile_start < {times.start}"
        moment = f"CASE WHEN {early} THEN greatest({moment}, {first}) ELSE {moment} END"
        oldest = d.instant(earliest - view.tile)
        after = f"CASE WHEN {times.points_after} > {times.start} THEN {after} ELSE {oldest} END"
    return ChangePoints(moment, after, join, moving or f"t.tile_start > {after}")
