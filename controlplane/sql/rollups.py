"""Rollups: tiles merged two by two into longer ones, so that an everyday run reads few of them.

If a view is computed without a gap, its next interval changes values at one moment only: at the end
of the interval (T here). There a window is covered by the longest rollups that fit into it instead
of by its tiles: a window of n tiles needs about 2 log2(n) of them.
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
"""The most levels of rollups: the longest rollup holds 2^12 tiles."""


class Span(msgspec.Struct, frozen=True):
    """A window at T: it ends `back` before T and has a length; a lifetime window has none."""

    back: timedelta
    length: timedelta | None


class Cover(msgspec.Struct, frozen=True):
    """The tiles and rollups that make up a view's windows at any moment.

    The rollups of level n hold 2^n tiles; `levels` is the highest level. Releases store a cover as
    JSON.
    """

    tile: timedelta
    phase: timedelta
    levels: int
    start: datetime
    spans: tuple[Span, ...]

    def at(self, moment: datetime) -> list[tuple[int, Interval]]:
        """List the tiles and rollups of each window at a moment, as (window's index, interval).

        They are the longest that fit, and don't overlap.
        """
        parts = []
        for index, span in enumerate(self.spans):
            end = moment - span.back
            begin = self.start if span.length is None else end - span.length
            first, last = self._tile_number(begin), self._tile_number(end)
            parts += [(index, part) for part in self._parts(first, last)]
        return parts

    def _tile_number(self, instant: datetime) -> int:
        return (instant - EPOCH - self.phase) // self.tile

    def _parts(self, first: int, end: int) -> Iterator[Interval]:
        """Yield the nodes of a segment tree that cover the tiles `first` to `end` - 1."""
        # An odd end at a level has no sibling inside the range, so the node itself is needed. What
        # is left is even at both ends and is covered one level higher.
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
        yield from (self._part(number, size) for number in range(first, end, size))

    def _part(self, number: int, size: int) -> Interval:
        begin = EPOCH + self.phase + number * self.tile
        return Interval(begin, begin + size * self.tile)


def cover(view: ViewSpec) -> Cover | None:
    """Return the cover of a view's windows; None if the view keeps no rollups."""
    count = levels(view)
    spans = dict.fromkeys(span for a in view.aggregates if rolled(a) for span in _spans(a))
    return Cover(view.tile, view.phase, count, view.start, tuple(spans)) if count else None


def _spans(aggregate: AggregateSpec) -> list[Span]:
    """List the windows of an aggregate, in the order of its values."""
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
    """Whether rollups keep all states of an aggregate: only states that don't grow with rows."""
    return all(state.merged is not None for state in needed(aggregate))


def levels(view: ViewSpec) -> int:
    """Return how many levels of rollups a view keeps; 0 for none.

    The longest rollup fills half of the longest window. A view keeps none if they would save
    nothing (windows of a few tiles, states that no rollup keeps). Calendars, secondary keys and
    static views have no rollups either.
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
    """The range of a run as SQL: the interval, and the start and end of the replaced tiles."""

    start: str
    end: str
    read_start: str
    read_end: str


@dataclass(frozen=True)
class Level:
    """The rollups of one length, each made of two parts; all attributes but the number are SQL.

    Attributes:
        number: 1 for rollups of two tiles, 2 for rollups of four, and so on.
        floor: the start of the rollup that holds `tile_start`.
        length: the length of a rollup.
        half: the length of each part.
        first: the start of the first rollup that the run changes.
        first_end: the end of that rollup.
    """

    number: int
    floor: str
    length: str
    half: str
    first: str
    first_end: str


class Covers(Frames):
    """The windows at T: the rows of the relation `covered` whose `place` is the window's index.

    Windows that rollups make up come first, and then the `whole` windows, which are read tile by
    tile.
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
            indexes = [self._spans.index(span) for span in _spans(aggregate)]
        else:
            indexes = [len(self._spans) + self.whole.index(span) for span in _spans(aggregate)]
        return [Frame("", f"place = {index}") for index in indexes]


class Rollups:
    """The rollups of one view for the templates.

    Every attribute is SQL text, or a list of names with SQL text.
    """

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
        self.states_or_nulls = [
            f"t.{d.quote(s.name)}" if s.rolled is not None else "NULL"
            for s in tiles.states.values()
        ]
        self.tile_end = d.plus("t.tile_start", view.tile)
        self.oldest = d.plus(run.read_start, -self._length(self._count))
        self.through = d.ceil(run.read_end, self._length(self._count), view.phase)
        self.before = d.plus(run.start, -view.tile)
        self.moment = run.end

    def _length(self, level: int) -> timedelta:
        return self._view.tile * (1 << level)

    @cached_property
    def levels(self) -> list[Level]:
        """The levels, shortest rollups first."""
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
        """The condition on the head that the run is the next interval and changes only T."""
        d, run = self._d, self._run
        return (
            f"earlier_frontier = {run.start} AND frontier = {run.end}"
            f" AND {d.plus(run.start, self._view.schedule)} = {run.end}"
            f" AND {run.start} > {d.instant(self._view.start)}"
        )

    @cached_property
    def moving(self) -> list[tuple[str, str]]:
        """The ranges of the starts of tiles that enter or leave a window at T: (after, up to)."""
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
        """The windows at T that no rollups make up, as rows: index, begin, end."""
        d = self._d
        windows = []
        for index, span in enumerate(self._covers.whole, len(self._spans)):
            begin = (
                d.instant(self._view.start)
                if span.length is None
                else d.plus(self.moment, -span.back - span.length)
            )
            windows.append(f"({index}, {begin}, {d.plus(self.moment, -span.back)})")
        return windows

    def instant(self, text: str) -> str:
        """Render a literal for a variable instant of the run."""
        return self._d.instant(text)

    def instants(self, part: str, variable: str) -> str:
        """Render a list of variable instants: the start or the end of each part in a variable.

        Args:
            part: the loop's names for start and end; one of them is `instant`.
            variable: the run's variable, such as `plane.cover_tiles`.
        """
        instant, comma = self.instant("{{ instant }}"), '{{ "" if loop.last else ", " }}'
        return f"{{% for {part} in {variable} %}}{instant}{comma}{{% endfor %}}"
