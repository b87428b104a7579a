"""Windows in SQL: which tiles a window holds, as a frame over a key's tiles and moments, and when a
tile comes or goes.

The tiles of a key and the moments at which values are wanted stand on one line of time, ordered by
`moment` (a tile's is its start). A frame ends one tile before the current row: at T it holds tiles
that begin before T, and no moment has a state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import assert_never

import msgspec

from controlplane.base.types import MICROSECOND
from controlplane.manifest.specs import AggregateSpec, ViewSpec
from controlplane.manifest.timing import depth, endless, read_start, tile_length
from controlplane.manifest.windows import (
    LAST_YEAR,
    CalendarWindow,
    LifetimeWindow,
    SeriesWindow,
    SlidingWindow,
)
from controlplane.sql.dialects import Dialect

_NEVER = datetime(9999, 1, 1)  # noqa: DTZ001 - text for the warehouse, in UTC like all of it
Calendar = tuple[str, str]
"""A unit and a zone."""


def calendars(view: ViewSpec) -> list[Calendar]:
    """The calendars that a view's windows need; their places number the columns
    `period_<place>`."""
    windows = [aggregate.window for aggregate in view.aggregates]
    return list(dict.fromkeys((w.unit, w.zone) for w in windows if isinstance(w, CalendarWindow)))


class Frame(msgspec.Struct, frozen=True):
    """Which tiles an aggregate sees: the OVER clause of a window function, and a condition; either
    may be empty."""

    over: str
    condition: str = ""


class Window(msgspec.Struct, frozen=True):
    """The tiles of one window, to merge states over: `columns` are the states by label, `frame`
    says which tiles."""

    dialect: Dialect
    columns: dict[str, str]
    frame: Frame
    found: dict[str, str]

    def column(self, sql: str) -> str:
        """The name of the column that holds this aggregate over the tiles."""
        return self.found.setdefault(f"{sql} {self.frame.over}".rstrip(), f"m{len(self.found)}")

    def merged(self, function: str, label: str) -> str:
        """A plain aggregate over a state."""
        return self.column(
            self.dialect.filtered(function, self.columns[label], self.frame.condition)
        )

    def listed(self, x: str, label: str) -> str:
        """The values of `x`, one for each tile that has the state, in order; null where the window
        holds none."""
        conditions = [f"{self.columns[label]} IS NOT NULL", self.frame.condition]
        return self.column(
            self.dialect.collect(x, ["moment"], " AND ".join(filter(None, conditions)))
        )

    def items(self, label: str) -> str:
        """The items of list states, tile after tile; null where the window holds none."""
        return self.dialect.flatten(self.listed(self.dialect.loose(self.columns[label]), label))

    def only(self) -> str:
        """The label of the one state."""
        [label] = self.columns
        return label


class Frames:
    """The frames of one view's windows; `keys` are the quoted columns that tell its lines of time
    apart.

    What is merged over them is kept in `merged`: SQL of aggregates over tiles -> the column's name.
    """

    def __init__(self, view: ViewSpec, keys: Sequence[str], dialect: Dialect) -> None:
        self._view = view
        self._keys = ", ".join(keys)
        self._d = dialect
        self._calendars = calendars(view)
        self.merged: dict[str, str] = {}

    def of(self, aggregate: AggregateSpec) -> list[Frame]:
        """The frames of an aggregate: one, or one for each step of a series, oldest first."""
        match aggregate.window:
            case SlidingWindow(length):
                return [self._sliding(length, aggregate.offset)]
            case SeriesWindow(length, step, steps):
                return [
                    self._sliding(length, aggregate.offset - back * step)
                    for back in reversed(range(steps))
                ]
            case LifetimeWindow():
                last = self._d.span(self._view.tile - aggregate.offset)
                over = self._over("UNBOUNDED", last)
                return [Frame(over, f"moment >= {self._d.instant(self._view.start)}")]
            case CalendarWindow(unit, zone, count, ago):
                return [self._calendar(f"period_{self._calendars.index((unit, zone))}", count, ago)]

    def _sliding(self, length: timedelta, offset: timedelta) -> Frame:
        first, last = (self._d.span(duration - offset) for duration in (length, self._view.tile))
        return Frame(self._over(first, last))

    def _over(self, first: str, last: str) -> str:
        frame = f"RANGE BETWEEN {first} PRECEDING AND {last} PRECEDING"
        return f"OVER (PARTITION BY {self._keys} ORDER BY moment {frame})"

    def _calendar(self, period: str, count: int, ago: int) -> Frame:
        if not ago:
            last = self._d.span(self._view.tile)
            order = f"ORDER BY moment RANGE BETWEEN UNBOUNDED PRECEDING AND {last} PRECEDING"
            return Frame(f"OVER (PARTITION BY {self._keys}, {period} {order})")
        order = f"ORDER BY {period} RANGE BETWEEN {ago + count - 1} PRECEDING AND {ago} PRECEDING"
        return Frame(f"OVER (PARTITION BY {self._keys} {order})")


class Pairs(Frames):
    """The same windows where a moment (`plane__at`, its periods `plane__period_<place>`) is joined
    with its tiles.

    Time is cut into blocks as long as the farthest window, so that only tiles of two blocks are
    compared with a moment.
    """

    @property
    def block(self) -> str:
        """The block of a tile, or of any `moment`."""
        return self._block("moment")

    @property
    def blocks(self) -> list[str]:
        """The blocks in which the windows of a moment lie: where the farthest begins, and the
        next."""
        if endless(self._view):
            return [self.block]
        first = self._block(self._d.plus("moment", -depth(self._view)))
        return [first, self._d.plus(first, depth(self._view))]

    @property
    def near(self) -> str:
        """The condition that a tile `t` may lie in a window of a moment `p` in whose block it
        is."""
        before = "t.moment < p.moment"
        if endless(self._view):
            return before
        return f"{before} AND t.moment >= {self._d.plus('p.moment', -depth(self._view))}"

    def _block(self, moment: str) -> str:
        return "1" if endless(self._view) else self._d.floor(moment, depth(self._view))

    def of(self, aggregate: AggregateSpec) -> list[Frame]:
        """The frames of an aggregate, as conditions on a tile that is `near`."""
        match aggregate.window:
            case SlidingWindow(length):
                return [self._between(aggregate.offset, length)]
            case SeriesWindow(length, step, steps):
                return [
                    self._between(aggregate.offset - back * step, length)
                    for back in reversed(range(steps))
                ]
            case LifetimeWindow():
                start = self._d.instant(self._view.start)
                return [self._where(f"moment >= {start}", self._before(aggregate.offset))]
            case CalendarWindow(unit, zone, count, ago):
                place = self._calendars.index((unit, zone))
                if not ago:
                    return [self._where(f"period_{place} = plane__period_{place}")]
                first, last = (f"plane__period_{place} - {back}" for back in (ago + count - 1, ago))
                return [self._where(f"period_{place} BETWEEN {first} AND {last}")]

    def _between(self, offset: timedelta, length: timedelta) -> Frame:
        farthest = not endless(self._view) and length - offset == depth(self._view)
        since = "" if farthest else f"moment >= {self._d.plus('plane__at', offset - length)}"
        return self._where(since, self._before(offset))

    def _before(self, offset: timedelta) -> str:
        return f"moment < {self._d.plus('plane__at', offset)}" if offset else ""

    def _where(self, *conditions: str) -> Frame:
        return Frame("", " AND ".join(filter(None, conditions)))


def shifts(view: ViewSpec) -> list[timedelta]:
    """How long after a tile's start a value may change, before rounding up to the schedule.

    A tile enters a window at I - O and leaves it at W - O + I (the first instant whose window no
    longer holds its start); a row feature changes when its tile is complete.
    """
    tile = tile_length(view)
    found = {tile} if view.attributes else set()
    for aggregate in view.aggregates:
        match aggregate.window:
            case SlidingWindow(length):
                found |= {tile - aggregate.offset, length - aggregate.offset + tile}
            case SeriesWindow(length, step, steps):
                for back in range(steps):
                    enters = tile - aggregate.offset + back * step
                    found |= {enters, enters + length}
            case LifetimeWindow():
                found |= {tile - aggregate.offset}
            case CalendarWindow(ago=0):
                found |= {tile}
            case CalendarWindow():
                pass
            case never:
                assert_never(never)
    return sorted(found)


def turns(view: ViewSpec) -> list[tuple[int, int, timedelta]]:
    """When tiles come and go with the calendar: (place of the calendar, periods after the tile's
    own, longest)."""
    places = {calendar: place for place, calendar in enumerate(calendars(view))}
    found = set()
    for aggregate in view.aggregates:
        if isinstance(window := aggregate.window, CalendarWindow):
            place = places[window.unit, window.zone]
            later = {window.ago, window.ago + window.count} - {0}
            found |= {(place, periods, depth(view)) for periods in later}
    return sorted(found)


def calendar_sql(view: ViewSpec, calendar: Calendar, since: str, until: str, d: Dialect) -> str:
    """A query for the periods of a calendar: `number`, counted without a gap, and `starts_at`,
    where it begins.

    Only periods from `since` to `until`, and a few beside, are there. A period begins with the
    first instant of its local first day; a day that a zone leaves out is none.
    """
    unit, zone = calendar
    [spec] = [spec for spec in view.zones if spec.name == zone]
    oldest = (read_start(view) - depth(view) - timedelta(days=62)).date()
    first, last = _ordinal(unit, oldest), _ordinal(unit, date(LAST_YEAR, 1, 1))
    begins, ends = (d.period_start(unit, number) for number in ("number", "number + 1"))
    starts_at, ends_at = (d.plus_micros(day, "-micros") for day in ("begins", "ends"))
    overs = [changed for changed, _ in spec.offsets[1:]]
    regimes = ", ".join(
        f"({d.instant(changed)}, {d.instant(over)}, {offset // MICROSECOND})"
        for (changed, offset), over in zip(spec.offsets, [*overs, _NEVER], strict=True)
    )
    never = d.instant(_NEVER)
    return f"""SELECT row_number() OVER (ORDER BY starts_at) AS number, starts_at,
    coalesce(lead(starts_at) OVER (ORDER BY starts_at), {never}) AS ends_at FROM (
    SELECT begins, min(greatest(since, {starts_at})) AS starts_at FROM (
      SELECT {begins} AS begins, {ends} AS ends FROM ({d.numbers(first, last)}) AS numbers
    ) AS periods CROSS JOIN (VALUES {regimes}) AS regimes(since, until, micros)
    WHERE begins > {since} AND begins < {d.plus(until, timedelta(days=2))}
      AND greatest(since, {starts_at}) < least(until, {ends_at})
    GROUP BY begins
  ) AS found"""


def _ordinal(unit: str, day: date) -> int:
    """The number of the period that holds a day: 0 holds 1970-01-01, for weeks the Monday after
    it."""
    days = (day - date(1970, 1, 1)).days
    return {"day": days, "week": (days - 4) // 7, "month": (day.year - 1970) * 12 + day.month - 1}[
        unit
    ]
