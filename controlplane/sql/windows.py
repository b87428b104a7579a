"""Windows in SQL: the tiles of a window as a frame, and the times at which a tile enters or leaves.

The tiles of a key and the moments at which values are computed are rows of one timeline, ordered by
`moment` (for a tile: its start). A frame ends one tile before the current row: at T it holds tiles
that begin before T. Rows of moments have no states.
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
"""A calendar: its unit and its time zone."""


def calendars(view: ViewSpec) -> list[Calendar]:
    """List the calendars of a view's windows; the indexes number the columns `period_<index>`."""
    windows = [aggregate.window for aggregate in view.aggregates]
    return list(dict.fromkeys((w.unit, w.zone) for w in windows if isinstance(w, CalendarWindow)))


class Frame(msgspec.Struct, frozen=True):
    """The tiles that an aggregate sees: an OVER clause and a condition; either may be empty."""

    over: str
    condition: str = ""


class Window(msgspec.Struct, frozen=True):
    """The tiles of one window, to merge states over.

    Attributes:
        dialect: The dialect.
        columns: Label -> the quoted column of the state.
        frame: The tiles of the window.
        merged_columns: SQL of an aggregate over tiles -> its column's name. The windows of a view
            share it, so that equal aggregates are computed once.
    """

    dialect: Dialect
    columns: dict[str, str]
    frame: Frame
    merged_columns: dict[str, str]

    def column(self, sql: str) -> str:
        """Return the name of the column that holds this aggregate over the tiles."""
        names = self.merged_columns
        return names.setdefault(f"{sql} {self.frame.over}".rstrip(), f"m{len(names)}")

    def merged(self, function: str, label: str) -> str:
        """Return the column of a plain aggregate over a state."""
        return self.column(
            self.dialect.filtered(function, self.columns[label], self.frame.condition)
        )

    def listed(self, x: str, label: str) -> str:
        """Return the column that lists `x` of each tile with the state, in order; null if none."""
        conditions = [f"{self.columns[label]} IS NOT NULL", self.frame.condition]
        return self.column(
            self.dialect.collect(x, ["moment"], " AND ".join(filter(None, conditions)))
        )

    def items(self, label: str) -> str:
        """Render the items of list states, tile after tile; null if the window has none."""
        return self.dialect.flatten(self.listed(self.dialect.loose(self.columns[label]), label))

    def only(self) -> str:
        """Return the label of the only state."""
        [label] = self.columns
        return label


class Frames:
    """The frames of one view's windows.

    `keys` are the quoted columns of a timeline's key. `merged` collects the aggregates over the
    frames: SQL -> the column's name.
    """

    def __init__(self, view: ViewSpec, keys: Sequence[str], dialect: Dialect) -> None:
        self._view = view
        self._keys = ", ".join(keys)
        self._d = dialect
        self._calendars = calendars(view)
        self.merged: dict[str, str] = {}

    def of(self, aggregate: AggregateSpec) -> list[Frame]:
        """List the frames of an aggregate: one, or one for each step of a series, oldest first."""
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
    """The windows of a view where a moment is joined with its tiles.

    The moment is `plane__at`, its periods are `plane__period_<index>`. Time is cut into blocks as
    long as the deepest window, so that a moment is compared only with the tiles of two blocks.
    """

    @property
    def block(self) -> str:
        """The block of a tile, or of any `moment`."""
        return self._block("moment")

    @property
    def blocks(self) -> list[str]:
        """The blocks of a moment's windows: that of the deepest window's start, and the next."""
        if endless(self._view):
            return [self.block]
        first = self._block(self._d.plus("moment", -depth(self._view)))
        return [first, self._d.plus(first, depth(self._view))]

    @property
    def near(self) -> str:
        """The condition that a tile `t` of a moment's block may lie in a window of the moment."""
        before = "t.moment < p.moment"
        if endless(self._view):
            return before
        return f"{before} AND t.moment >= {self._d.plus('p.moment', -depth(self._view))}"

    def _block(self, moment: str) -> str:
        return "1" if endless(self._view) else self._d.floor(moment, depth(self._view))

    def of(self, aggregate: AggregateSpec) -> list[Frame]:
        """List the frames of an aggregate, as conditions on a tile that is `near`."""
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
                index = self._calendars.index((unit, zone))
                if not ago:
                    return [self._where(f"period_{index} = plane__period_{index}")]
                first, last = (f"plane__period_{index} - {back}" for back in (ago + count - 1, ago))
                return [self._where(f"period_{index} BETWEEN {first} AND {last}")]

    def _between(self, offset: timedelta, length: timedelta) -> Frame:
        # `near` has the bound of the deepest window already.
        deepest = not endless(self._view) and length - offset == depth(self._view)
        since = "" if deepest else f"moment >= {self._d.plus('plane__at', offset - length)}"
        return self._where(since, self._before(offset))

    def _before(self, offset: timedelta) -> str:
        return f"moment < {self._d.plus('plane__at', offset)}" if offset else ""

    def _where(self, *conditions: str) -> Frame:
        return Frame("", " AND ".join(filter(None, conditions)))


def shifts(view: ViewSpec) -> list[timedelta]:
    """List how long after a tile's start a value may change, before rounding up to the schedule.

    A tile of length I enters a window of length W and offset O at I - O. It leaves at W - O + I:
    the first instant whose window no longer holds its start. A row feature changes when its tile is
    complete.
    """
    tile = tile_length(view)
    durations = {tile} if view.attributes else set()
    for aggregate in view.aggregates:
        match aggregate.window:
            case SlidingWindow(length):
                durations |= {tile - aggregate.offset, length - aggregate.offset + tile}
            case SeriesWindow(length, step, steps):
                for back in range(steps):
                    enters = tile - aggregate.offset + back * step
                    durations |= {enters, enters + length}
            case LifetimeWindow():
                durations |= {tile - aggregate.offset}
            case CalendarWindow(ago=0):
                durations |= {tile}
            case CalendarWindow():
                # A window of past periods changes only when a period ends: see `turns`.
                pass
            case never:
                assert_never(never)
    return sorted(durations)


def turns(view: ViewSpec) -> list[tuple[int, int, timedelta]]:
    """List the periods at whose start a tile enters or leaves a calendar window.

    Each is (index of the calendar, periods after the tile's own, longest time until then).
    """
    indexes = {calendar: index for index, calendar in enumerate(calendars(view))}
    periods = set()
    for aggregate in view.aggregates:
        if isinstance(window := aggregate.window, CalendarWindow):
            index = indexes[window.unit, window.zone]
            later = {window.ago, window.ago + window.count} - {0}
            periods |= {(index, number, depth(view)) for number in later}
    return sorted(periods)


def calendar_sql(view: ViewSpec, calendar: Calendar, since: str, until: str, d: Dialect) -> str:
    """Render a query for the periods of a calendar: `number` (without gaps), start and end.

    It returns the periods from `since` to `until`, and a few more at both ends. A period begins
    with the first instant of its first local day. A day that a zone skips is no period.
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
    # Days are numbered after the join with the zone's offsets: Samoa, for example, had no
    # 2011-12-30. Numbers of days since the epoch would leave a gap there.
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
    """Return the number of the period that holds a day.

    Period 0 holds 1970-01-01, or begins on the Monday after it for weeks.
    """
    days = (day - date(1970, 1, 1)).days
    return {"day": days, "week": (days - 4) // 7, "month": (day.year - 1970) * 12 + day.month - 1}[
        unit
    ]
