"""Rollups: tiles merged two by two into longer ones, so that one more interval reads few of them.

The next interval of a view that is computed without a gap changes values at one moment alone, its
end (T here). There a window is covered by the longest rollups that fit into it, about 2 log2 of its
tiles, instead of by its tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import assert_never

import msgspec

from controlplane.base.types import EPOCH, Interval
from controlplane.manifest.specs import AggregateSpec, BatchViewSpec, StaticViewSpec, ViewSpec
from controlplane.manifest.windows import (
    CalendarWindow,
    LifetimeWindow,
    SeriesWindow,
    SlidingWindow,
)
from controlplane.sql.aggregates import TileSchema, Windows
from controlplane.sql.dialects import Dialect
from controlplane.sql.states import needed
from controlplane.sql.windows import Frame, Frames, shifts

MOST_LEVELS = 12
"""A rollup holds at most 2^12 tiles."""


class Span(msgspec.Struct, frozen=True):
    """A window at T: it ends so long before T, and is so long.

    A lifetime, without a length, begins at an instant.
    """

    back: timedelta
    length: timedelta | None


class Cover(msgspec.Struct, frozen=True):
    """Which tiles and rollups make up a view's windows at any moment.

    Rollups are `levels` times twice as long.
    """

    tile: timedelta
    phase: timedelta
    levels: int
    start: datetime
    spans: tuple[Span, ...]

    def at(self, moment: datetime) -> list[tuple[int, Interval]]:
        """Each window's number, and one tile or rollup of it: the longest that fit, which none
        other overlaps."""
        found = []
        for number, span in enumerate(self.spans):
            end = moment - span.back
            begin = self.start if span.length is None else end - span.length
            found += [(number, part) for part in self._parts(self._place(begin), self._place(end))]
        return found

    def _place(self, instant: datetime) -> int:
        return (instant - EPOCH - self.phase) // self.tile

    def _parts(self, first: int, end: int) -> Iterator[Interval]:
        """The nodes of a segment tree that cover the tiles from a number to before another."""
        size = 1
        for _ in range(self.levels):
            if first >= end:
                return
            if first % (2 * size):
                yield self._part(first, size)
                first += size
            if end % (2 * size):
                end -= size
                yield self._part(end, size)
            size *= 2
        yield from (self._part(place, size) for place in range(first, end, size))

    def _part(self, place: int, size: int) -> Interval:
        begin = EPOCH + self.phase + place * self.tile
        return Interval(begin, begin + size * self.tile)


def cover(view: ViewSpec) -> Cover | None:
    """The cover of a view's windows of which rollups are kept; None where there are none."""
    count = levels(view)
    spans = dict.fromkeys(span for a in view.aggregates if rolled(a) for span in _spans(a))
    return Cover(view.tile, view.phase, count, view.start, tuple(spans)) if count else None


def _spans(aggregate: AggregateSpec) -> list[Span]:
    """The windows of an aggregate, in the order of its values."""
    match aggregate.window:
        case SlidingWindow(length):
            return [Span(-aggregate.offset, length)]
        case SeriesWindow(length, step, steps):
            return [Span(back * step - aggregate.offset, length) for back in reversed(range(steps))]
        case CalendarWindow() | LifetimeWindow():
            return [Span(-aggregate.offset, None)]
        case never:
            assert_never(never)


def rolled(aggregate: AggregateSpec) -> bool:
    """Whether rollups keep all states of an aggregate: those that don't grow with their rows."""
    return all(kind.merged is not None for kind in needed(aggregate))


def levels(view: ViewSpec) -> int:
    """How many lengths of rollups are worth keeping; the longest fills half of the longest window.

    None where they would save nothing (windows of a few tiles, states that no rollup keeps), and
    none for what they are not made for: calendars, second keys, tables without an event time.
    """
    match view:
        case StaticViewSpec():
            return 0
        case BatchViewSpec():
            if any(aggregate.by for aggregate in view.aggregates):
                return 0
        case never:
            assert_never(never)
    most = 0
    for aggregate in view.aggregates:
        match aggregate.window:
            case CalendarWindow():
                return 0
            case SlidingWindow(length) | SeriesWindow(length):
                useful = (length // view.tile).bit_length() - 2
            case LifetimeWindow():
                useful = MOST_LEVELS
            case never_window:
                assert_never(never_window)
        most = max(most, useful if rolled(aggregate) else 0)
    return min(most, MOST_LEVELS)


@dataclass(frozen=True)
class Run:
    """What a run computes, as instants in SQL: its interval, and where the tiles that it replaces
    begin and end."""

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
        length: how long a rollup is.
        half: how long each part is.
        first: where the first rollup begins that the run changes.
        first_end: where it ends.
    """

    number: int
    floor: str
    length: str
    half: str
    first: str
    first_end: str


class Covers(Frames):
    """The windows at T: the rows of the relation `covered` that have a window's number as their
    `place`.

    Those that rollups make up come first, and then the `whole` ones, which are read tile by tile.
    """

    def __init__(self, view: ViewSpec, spans: Sequence[Span], dialect: Dialect) -> None:
        super().__init__(view, (), dialect)
        self._spans = list(spans)
        self.whole = list(
            dict.fromkeys(s for a in view.aggregates if not rolled(a) for s in _spans(a))
        )

    def of(self, aggregate: AggregateSpec) -> list[Frame]:
        """See `Frames.of`."""
        if rolled(aggregate):
            places = [self._spans.index(span) for span in _spans(aggregate)]
        else:
            places = [len(self._spans) + self.whole.index(span) for span in _spans(aggregate)]
        return [Frame("", f"place = {place}") for place in places]


class Rollups:
    """The rollups of one view as the templates see them: every attribute is SQL text, or a list of
    names with it."""

    def __init__(
        self,
        view: ViewSpec,
        covered: Cover,
        tiles: TileSchema,
        table: str,
        run: Run,
        dialect: Dialect,
    ) -> None:
        self._view = view
        self._spans = covered.spans
        self._tiles = tiles
        self._run = run
        self._d = d = dialect
        self._count = covered.levels
        self.table = table
        self.kept = tiles.rolled()
        self.columns = [
            (d.quote(s.name), s.rolled) for s in tiles.states.values() if s.rolled is not None
        ]
        self.names = [name for name, _ in self.columns]
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
            floor=d.floor("tile_start", length, view.phase),
            length=d.span(length),
            half=d.span(length / 2),
            first=first,
            first_end=d.plus(first, length),
        )

    @cached_property
    def is_next(self) -> str:
        """A condition on the head: the run is the next interval, and changes nothing before T."""
        d, run = self._d, self._run
        return (
            f"earlier_frontier = {run.start} AND frontier = {run.end} AND"
            f" {d.plus(run.start, self._view.schedule)} = {run.end} AND {run.start} >"
            f" {d.instant(self._view.start)}"
        )

    @cached_property
    def moving(self) -> list[tuple[str, str]]:
        """Where the tiles begin that come into a window or leave one at T: after the one instant,
        up to the other."""
        last = [self._d.plus(self.moment, -shift) for shift in shifts(self._view)]
        return [(self._d.plus(instant, -self._view.schedule), instant) for instant in last]

    @cached_property
    def _covers(self) -> Covers:
        return Covers(self._view, self._spans, self._d)

    @cached_property
    def covered(self) -> Windows:
        """All windows at T, over the rows of the relation `covered`."""
        return self._tiles.windows(self._covers)

    @property
    def whole_windows(self) -> list[str]:
        """The windows at T that no rollups make up, as rows: number, begin, end."""
        d = self._d
        found = []
        for place, span in enumerate(self._covers.whole, len(self._spans)):
            begin = (
                d.instant(self._view.start)
                if span.length is None
                else d.plus(self.moment, -span.back - span.length)
            )
            found.append(f"({place}, {begin}, {d.plus(self.moment, -span.back)})")
        return found

    def instant(self, text: str) -> str:
        """A literal for an instant that the run decides."""
        return self._d.instant(text)
