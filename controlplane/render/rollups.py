"""Rollups: tiles merged two by two into longer ones, so that one more interval reads few of them.

The next interval of a view that is computed without a gap changes values at one moment alone, its end (T here). There
a window is covered by the longest rollups that fit into it, about 2 log2 of its tiles, instead of by its tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from controlplane.registry.manifest import AggregateSpec, CalendarWindow, SeriesWindow, SlidingWindow, ViewSpec
from controlplane.render.aggregates import TileSchema
from controlplane.render.dialects import Dialect
from controlplane.render.states import needed
from controlplane.render.windows import Frame, shifts
from controlplane.types import MICROSECOND

MOST_LEVELS = 12
"""A rollup holds at most 2^12 tiles."""
_FAR = 2**40
"""Added to the number of a tile, so that none is negative; every rollup's length divides it."""


def rolled(aggregate: AggregateSpec) -> bool:
    """Whether rollups keep all states of an aggregate: those that don't grow with their rows."""
    return all(kind.merged is not None for kind in needed(aggregate))


def levels(view: ViewSpec) -> int:
    """How many lengths of rollups are worth keeping; the longest fills half of the longest window.

    None where they would save nothing (windows of a few tiles, states that no rollup keeps), and none for what they are
    not made for: calendars, second keys, tables without an event time.
    """
    if view.static or any(a.by or isinstance(a.window, CalendarWindow) for a in view.aggregates):
        return 0
    found = [0]
    for aggregate in filter(rolled, view.aggregates):
        if isinstance(window := aggregate.window, SlidingWindow | SeriesWindow):
            found.append((window.length // view.tile).bit_length() - 2)
        else:
            found.append(MOST_LEVELS)
    return min(max(found), MOST_LEVELS)


@dataclass(frozen=True)
class Run:
    """What a run computes, as instants in SQL: its interval, and where the tiles that it replaces begin and end."""

    start: str
    end: str
    read_start: str
    read_end: str


@dataclass(frozen=True)
class Level:
    """The rollups of one length, each made of two `parts`; all but the number are SQL.

    Attributes:
        number: from 1 on.
        floor: where the rollup begins that holds `tile_start`.
        span: where the rollup ends that begins at `begins`.
        part: a condition: `t` is a part.
        first: where the first rollup begins that the run changes.
        first_end: where it ends.
    """

    number: int
    floor: str
    span: str
    part: str
    first: str
    first_end: str


class Rollups:
    """The rollups of one view as the templates see them: every attribute is SQL text, or a list of names with it."""

    def __init__(self, view: ViewSpec, tiles: TileSchema, table: str, run: Run, dialect: Dialect) -> None:
        self._view = view
        self._tiles = tiles
        self._run = run
        self._d = d = dialect
        self._count = levels(view)
        self.table = table
        self._merged: dict[str, str] = {}
        kept = tiles.rolled(self._merged)
        self.columns = [(d.quote(state.name), state.rolled) for state, _ in kept]
        self.names = [name for name, _ in self.columns]
        self.merges = [(d.quote(state.name), sql) for state, sql in kept]
        self.merged = [(name, sql) for sql, name in self._merged.items()]
        self.all_states = [(d.quote(s.name), s.rolled is not None) for s in tiles.states.values()]
        self.tile_end = d.plus("t.tile_start", view.tile)
        self.oldest = d.plus(run.read_start, -self._length(self._count))
        self.through = d.ceil(run.read_end, self._length(self._count), view.phase)
        self.before = d.plus(run.start, -view.tile)
        self.moment = run.end

    def _length(self, level: int) -> timedelta:
        return self._view.tile * (1 << level)

    @cached_property
    def levels(self) -> list[Level]:
        """From the shortest on."""
        return [self._level(number) for number in range(1, self._count + 1)]

    def _level(self, number: int) -> Level:
        d, view, length = self._d, self._view, self._length(number)
        first = d.floor(self._run.read_start, length, view.phase)
        return Level(
            number=number,
            floor=d.floor("t.tile_start", length, view.phase),
            span=d.plus("begins", length),
            part=f"t.tile_end = {d.plus('t.tile_start', length / 2)}" if number > 1 else "TRUE",
            first=first,
            first_end=d.plus(first, length),
        )

    @cached_property
    def is_next(self) -> str:
        """A condition on the head: the run is the next interval, and changes nothing before T."""
        d, run = self._d, self._run
        return (
            f"earlier_frontier = {run.start} AND frontier = {run.end}"
            f" AND {d.plus(run.start, self._view.schedule)} = {run.end} AND {run.start} > {d.instant(self._view.start)}"
        )

    @cached_property
    def moving(self) -> list[tuple[str, str]]:
        """Where the tiles begin that come into a window or leave one at T: after the one instant, up to the other."""
        last = [self._d.plus(self.moment, -shift) for shift in shifts(self._view)]
        return [(self._d.plus(instant, -self._view.schedule), instant) for instant in last]

    @cached_property
    def _covered(self) -> tuple[dict[tuple[datetime | timedelta, timedelta, bool], int], dict[str, str], list[str]]:
        """The windows with their numbers, the aggregates over their rows, and the values made of these."""
        numbers: dict[tuple[datetime | timedelta, timedelta, bool], int] = {}
        merged: dict[str, str] = {}
        values = []
        for aggregate in self._view.aggregates:
            ends: list[tuple[datetime | timedelta, timedelta]] = []
            match aggregate.window:
                case SlidingWindow(length):
                    ends = [(length - aggregate.offset, -aggregate.offset)]
                case SeriesWindow(length, step, steps):
                    backs = [back * step - aggregate.offset for back in reversed(range(steps))]
                    ends = [(back + length, back) for back in backs]
                case _:
                    ends = [(self._view.start, -aggregate.offset)]
            windows = [(*one, rolled(aggregate)) for one in ends]
            frames = [Frame("", f"place = {numbers.setdefault(window, len(numbers))}") for window in windows]
            values.append(self._tiles.value(aggregate, frames, merged))
        return numbers, merged, values

    @property
    def covered_merged(self) -> list[tuple[str, str]]:
        """The columns that the values at T read: aggregates over the rows that cover a key's windows."""
        return [(name, sql) for sql, name in self._covered[1].items()]

    @property
    def covered_values(self) -> list[tuple[str, str]]:
        """Each aggregate at T."""
        names = [self._d.quote(aggregate.name) for aggregate in self._view.aggregates]
        return list(zip(names, self._covered[2], strict=True))

    @property
    def windows(self) -> list[str]:
        """The windows at T as rows: number, its first tile, the one after its last, tiles in the longest rollup."""
        return [
            f"({number}, {self._number(begins)}, {self._number(ends)}, {2**self._count if rolls else 1})"
            for (begins, ends, rolls), number in self._covered[0].items()
        ]

    def _number(self, where: datetime | timedelta) -> str:
        """The number of the tile that begins at an instant, or so long before T."""
        d, view = self._d, self._view
        instant = d.instant(where) if isinstance(where, datetime) else d.plus(self.moment, -where)
        since = d.plus(instant, -view.phase)
        return f"{d.whole(d.micros(since), str(view.tile // MICROSECOND))} + {_FAR}"

    def begin(self, number: str) -> str:
        """The instant at which the tile of a number begins."""
        d, view = self._d, self._view
        return d.plus(d.from_micros(f"({number} - {_FAR}) * {view.tile // MICROSECOND}"), view.phase)

    @property
    def sizes(self) -> list[str]:
        """How many tiles a tile holds, and each rollup, as rows."""
        return [f"({2**level})" for level in range(self._count + 1)]

    @property
    def lowest(self) -> str:
        """The number of a window's first whole rollup, in rollups of its size."""
        return self._d.whole("first_tile + size - 1", "size")

    @property
    def highest(self) -> str:
        """The number after its last."""
        return self._d.whole("last_tile", "size")

    @property
    def between(self) -> str:
        """A row for each number from the lowest to before the highest."""
        return self._d.each("lowest", "highest")
