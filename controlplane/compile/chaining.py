"""Views that read views: which of each other's tables they may read, and when its rows have
arrived.

A row of a view counts from its `valid_from` on, and is published then: at the end of its interval
and the view's delay. A reading view waits for every interval of the other that overlaps its own, so
its values must not be promised earlier.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from controlplane.base.types import format_duration
from controlplane.compile.grid import Grid
from controlplane.compile.problems import Collector
from controlplane.compile.transformation import table_parts
from controlplane.definitions import BatchSource
from controlplane.errors import Location
from controlplane.manifest.specs import Column, ViewSpec

TIMESTAMP = "valid_from"


def columns(view: ViewSpec) -> tuple[Column, ...]:
    """What a view may read of another: not `valid_to`, which is known only when the next row has
    come."""
    return (*view.keys, (TIMESTAMP, "timestamp"), *((f.name, f.type) for f in view.features))


@dataclass(frozen=True)
class Own:
    """Where the feature views of a project show: a schema, their names, and the session's
    catalogue, if it is known."""

    schema: str
    views: Collection[str]
    catalog: str

    def view(self, table: str) -> str | None:
        """The feature view of which this is a table, in whatever spelling, or one behind it.

        None if it is no view's.

        `spend`, `SPEND`, `"spend"`, `spend__latest` and `spend__history__ab12cd34` are the view
        `spend`'s, and the same behind the name of the catalogue.
        """
        *outside, schema, name = (part.lower() for part in table_parts(table))
        if schema != self.schema.lower() or outside not in ([], [self.catalog.lower()]):
            return None
        known = {view.lower(): view for view in self.views}
        return known.get(name) or known.get(name.partition("__")[0])


def check_source(source: BatchSource, own: Own, collector: Collector) -> bool:
    """Check a source whose table may be one of a view's own; whether it may be read."""
    owner = own.view(source.table)
    if owner is None:
        return True
    door = f"{own.schema}.{owner}"
    if source.table == door and source.timestamp == TIMESTAMP:
        return True
    if source.table == door:
        text = (
            f"source {source.name!r} reads feature view {owner!r}, whose rows count from"
            f" {TIMESTAMP!r} on"
        )
    else:
        text = f"source {source.name!r} reads {source.table}, a table of feature view {owner!r}"
    collector.add(text, source.location, f"give table={door!r}, timestamp={TIMESTAMP!r}")
    return False


def check_chain(
    what: str,
    where: Location,
    grid: Grid,
    delay: timedelta,
    upstream: ViewSpec,
    collector: Collector,
) -> None:
    """Check that a view with this grid and delay may read another."""
    (coarse, late), (fine, early) = sorted(
        [(grid.schedule, grid.phase), (upstream.schedule, upstream.phase)], reverse=True
    )
    if coarse % fine or (late - early) % fine:
        ours, theirs = (_grid(view.schedule, view.phase) for view in (grid, upstream))
        collector.add(
            f"{what} is computed {ours}, feature view {upstream.name!r}, which it reads, {theirs}: "
            "intervals of one must be made of whole intervals of the other",
            where,
            f"use schedule {format_duration(upstream.schedule)}, a multiple or a divisor of it, and"
            " a phase that fits",
        )
        return
    needed = upstream.delay + max(upstream.schedule - grid.schedule, timedelta(0))
    if delay < needed:
        collector.add(
            f"{what}: its values would be promised {format_duration(delay)} after an interval's"
            f" end, before those of feature view {upstream.name!r} are published",
            where,
            f"give the source that reads {upstream.name!r}"
            f" settling_delay={format_duration(needed)!r}, or more",
        )


def _grid(schedule: timedelta, phase: timedelta) -> str:
    return f"every {format_duration(schedule)}" + (
        f" with phase {format_duration(phase)}" if phase else ""
    )
