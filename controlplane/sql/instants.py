"""Where a run reads and what it replaces, as instants in SQL, for each kind of feature view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from controlplane.manifest.specs import BatchViewSpec, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import depth
from controlplane.sql.dialects import Dialect


@dataclass(frozen=True)
class Extent:
    """What is computed: instants as SQL text has them.

    In a release they are left open for the run.
    """

    start: str = "{{ plane.start }}"
    end: str = "{{ plane.end }}"
    read_start: str = "{{ plane.read_start }}"


@dataclass(frozen=True)
class Instants:
    """The instants of one run.

    Attributes:
        start: the view's start.
        interval_start: where the run's interval begins.
        interval_end: where it ends.
        read_start: where the rows begin that the run reads.
        read_end: where they end.
        watermark: where values end, if everything up to the end of the interval is computed.
        points_after: the change points that the run replaces come after this instant, or at it.
        attributes_since: where the tiles begin that may hold the last row at a changed point.
    """

    start: str
    interval_start: str
    interval_end: str
    read_start: str
    read_end: str
    watermark: str
    points_after: str
    attributes_since: str


def instants(view: ViewSpec, extent: Extent, d: Dialect) -> Instants:
    """Name the instants of a run of a view."""
    start, end = d.instant(extent.start), d.instant(extent.end)
    first = d.instant(view.start)
    match view:
        case BatchViewSpec():
            # A point comes from a tile that enters or leaves a window, which has a last row
            # itself: none older than that tile is needed. Row features count from the view's start
            # on, though its windows may read earlier tiles.
            oldest = d.plus(start, -depth(view) - view.schedule - view.tile)
            return Instants(
                start=first,
                interval_start=start,
                interval_end=end,
                read_start=d.instant(extent.read_start),
                read_end=end,
                watermark=end,
                points_after=start,
                attributes_since=f"greatest({oldest}, {first})",
            )
        case StaticViewSpec():
            # Its rows lie in the one tile before its start, so that they take effect at its start.
            before = d.instant(view.start - view.schedule)
            return Instants(
                start=first,
                interval_start=start,
                interval_end=end,
                read_start=before,
                read_end=first,
                watermark=d.plus(first, view.schedule),
                points_after=before,
                attributes_since=before,
            )
        case never:
            assert_never(never)
