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
    """What is computed, as the text of instants; a release leaves them open for the run.

    Attributes:
        start: The beginning of the interval.
        end: Its end.
        read_start: Where the data begins that the run reads.
    """

    start: str = "{{ plane.start }}"
    end: str = "{{ plane.end }}"
    read_start: str = "{{ plane.read_start }}"


class Times:
    """The instants of one view's run; every property is SQL text.

    Attributes:
        start: The view's start.
        interval_start: The beginning of the run's interval.
        interval_end: Its end.
        read_start: Where the tiles begin that the run replaces.
        read_end: Where they end.
        frontier: The watermark if everything up to the end of the interval is computed.
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
                self.read_end = self.frontier = self.interval_end
                self.points_after = self.interval_start
            case StaticViewSpec():
                # Its rows are in the one tile before its start, so that they take effect then.
                self.read_start = self.points_after = d.instant(view.start - view.schedule)
                self.read_end = self.start
                self.frontier = d.plus(self.start, view.schedule)
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
        """Where the oldest tile begins that a window at a changed point may hold."""
        if endless(self._view):
            return self._d.instant(read_start(self._view))
        return self._d.plus(self.points_after, -depth(self._view))

    @cached_property
    def attributes_since(self) -> str:
        """Where the tiles begin that may hold the last row at a changed point.

        Row features count from the view's start on, though its windows may read earlier tiles. A
        point comes from a tile that enters or leaves a window, which has a last row itself: no
        older row is needed.
        """
        view = self._view
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
        """Where the tile of a staged row begins."""
        return self._d.floor("event_time", self._view.tile, self._view.phase)

    @cached_property
    def tile_end(self) -> str:
        """Where a tile `a` ends."""
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
