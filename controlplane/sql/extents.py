"""The instants of a run in SQL: its interval, what it reads, and where its values change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from controlplane.manifest.specs import ViewSpec
from controlplane.manifest.timing import depth, endless, reach, read_start
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

    A static view's rows are in the one tile before its start, so that they take effect at its
    start.
    """

    def __init__(self, view: ViewSpec, extent: Extent, d: Dialect) -> None:
        self._view = view
        self._extent = extent
        self._d = d

    @property
    def delay(self) -> timedelta:
        """How long after an interval's end its values take effect."""
        return self._view.delay

    @cached_property
    def start(self) -> str:
        """The view's start."""
        return self._d.instant(self._view.start)

    @cached_property
    def interval_start(self) -> str:
        """The beginning of the run's interval."""
        return self._d.instant(self._extent.start)

    @cached_property
    def interval_end(self) -> str:
        """The end of the run's interval."""
        return self._d.instant(self._extent.end)

    @cached_property
    def read_start(self) -> str:
        """Where the tiles begin that the run replaces."""
        view = self._view
        return self._d.instant(
            view.start - view.schedule if view.static else self._extent.read_start
        )

    @cached_property
    def read_end(self) -> str:
        """Where they end."""
        return self.start if self._view.static else self.interval_end

    @cached_property
    def frontier(self) -> str:
        """The watermark if all up to the end of the interval is computed."""
        if self._view.static:
            return self._d.plus(self.start, self._view.schedule)
        return self.interval_end

    @cached_property
    def points_after(self) -> str:
        """The last moment before those at which values may change."""
        return self.read_start if self._view.static else self.interval_start

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
        if view.static:
            return self.read_start
        oldest = self._d.plus(self.points_after, -depth(view) - view.schedule - view.tile)
        return f"greatest({oldest}, {self.start})"

    @cached_property
    def tile_start(self) -> str:
        """Where the tile of a staged row begins."""
        return self._d.floor("event_time", self._view.tile, self._view.phase)

    @cached_property
    def tile_end(self) -> str:
        """Where a tile `a` ends."""
        length = self._view.schedule if self._view.static else self._view.tile
        return self._d.plus("a.tile_start", length)

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
