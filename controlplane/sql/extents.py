"""The instants of a run in SQL: its interval, what it reads, and where its values change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import assert_never

from controlplane.manifest.specs import BatchViewSpec, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import depth, endless, reach, read_start, tile_length
from controlplane.sql.dialects import Dialect

_NEVER = datetime(9999, 1, 1)  # noqa: DTZ001 - text for the warehouse, in UTC like all of it


@dataclass(frozen=True)
class Extent:
    """The range that a run computes, as the text of instants; a release leaves them open.

    Attributes:
        start: The start of the interval.
        end: The end of the interval.
        read_start: The start of the data that the run reads.
    """

    start: str = "{{ plane.start }}"
    end: str = "{{ plane.end }}"
    read_start: str = "{{ plane.read_start }}"


class Times:
    """The instants of one view's run; every property is SQL text.

    Attributes:
        start: The view's start.
        interval_start: The start of the run's interval.
        interval_end: The end of the run's interval.
        read_start: The start of the first tile that the run replaces.
        read_end: The end of the last tile that the run replaces.
        watermark: The watermark if everything up to the end of the interval is computed.
        points_after: The last moment before those at which values may change.
    """

    def __init__(self, view: ViewSpec, extent: Extent, d: Dialect) -> None:
        self._view = view
        self._d = d
        self.start = d.instant(view.start)
        self.interval_start, self.interval_end = d.instant(extent.start), d.instant(extent.end)
        match view:
            case BatchViewSpec():
                self.read_start = d.instant(extent.read_start)
                self.read_end = self.watermark = self.interval_end
                self.points_after = self.interval_start
            case StaticViewSpec():
                # All rows of a static view are in the tile before its start, so that they take
                # effect at its start.
                self.read_start = self.points_after = d.instant(view.start - view.schedule)
                self.read_end = self.start
                self.watermark = d.plus(self.start, view.schedule)
            case never:
                assert_never(never)

    @property
    def delay(self) -> timedelta:
        """How long after an interval's end its values take effect."""
        return self._view.delay

    @cached_property
    def points_through(self) -> str:
        """The last moment at which a replaced tile may change a value."""
        if endless(self._view):
            return self._d.instant(_NEVER)
        return self._d.plus(self.read_end, reach(self._view))

    @cached_property
    def changes_after(self) -> str:
        """`points_after` as a `valid_from`."""
        return self._d.plus(self.points_after, self.delay)

    @cached_property
    def changes_through(self) -> str:
        """`points_through` as a `valid_from`."""
        if endless(self._view):
            return self.points_through
        return self._d.plus(self.points_through, self.delay)

    @cached_property
    def farthest_of_all(self) -> str:
        """The start of the oldest tile that a window at a changed point may hold."""
        if endless(self._view):
            return self._d.instant(read_start(self._view))
        return self._d.plus(self.points_after, -depth(self._view))

    @cached_property
    def attributes_since(self) -> str:
        """The start of the oldest tile that may hold the last row at a changed point.

        Row features count from the view's start on, though its windows may read earlier tiles.
        """
        view = self._view
        # A point comes from a tile that enters or leaves a window. That tile has a last row itself,
        # so no older row is needed.
        match view:
            case BatchViewSpec():
                before = -depth(view) - view.schedule - view.tile
                return f"greatest({self._d.plus(self.points_after, before)}, {self.start})"
            case StaticViewSpec():
                return self.read_start
            case never:
                assert_never(never)

    @cached_property
    def tile_start(self) -> str:
        """The start of a staged row's tile."""
        return self._d.floor("event_time", self._view.tile, self._view.phase)

    @cached_property
    def tile_end(self) -> str:
        """The end of a tile `a`."""
        return self._d.plus("a.tile_start", tile_length(self._view))

    @cached_property
    def effective(self) -> str:
        """The `valid_from` of a point `p`."""
        return self._d.plus("p.moment", self.delay)

    @cached_property
    def expires_at(self) -> str:
        """When the values of a point `p` expire; null without a time to live."""
        if self._view.ttl is None:
            return f"CAST(NULL AS {self._d.type('timestamp')})"
        return self._d.plus("p.moment", self.delay + self._view.ttl)
