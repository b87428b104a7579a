"""Views that read other views: which tables they may read, and when the rows have arrived.

A row of a view is visible from its `valid_from` on: the end of its interval plus the view's delay.
Then it is published. A reading view waits for every upstream interval that overlaps its own, so its
own values must not become visible earlier.
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
    """Return the columns of a view that other views may read."""
    # Not `valid_to`: it changes when the next row of the key is published.
    return (*view.keys, (TIMESTAMP, "timestamp"), *((f.name, f.type) for f in view.features))


@dataclass(frozen=True)
class PublicSchema:
    """The schema with the public views of a project.

    Attributes:
        schema: its name.
        views: the names of the project's feature views.
        catalog: the session's catalogue; empty if it is not known.
    """

    schema: str
    views: Collection[str]
    catalog: str

    def view(self, table: str) -> str | None:
        """Return the feature view that a table belongs to; None if it belongs to none.

        `spend`, `SPEND`, `"spend"`, `spend__latest` and `spend__history__ab12cd34` belong to the
        view `spend`, with and without the name of the catalogue.
        """
        *outside, schema, name = (part.lower() for part in table_parts(table))
        if schema != self.schema.lower() or outside not in ([], [self.catalog.lower()]):
            return None
        known = {view.lower(): view for view in self.views}
        return known.get(name) or known.get(name.partition("__")[0])


def check_source(source: BatchSource, public_schema: PublicSchema, collector: Collector) -> bool:
    """Check a source whose table may belong to a view; return whether it may be read."""
    owner = public_schema.view(source.table)
    if owner is None:
        return True
    public_view = f"{public_schema.schema}.{owner}"
    if source.table == public_view and source.timestamp == TIMESTAMP:
        return True
    if source.table == public_view:
        text = (
            f"source {source.name!r} reads feature view {owner!r}, whose rows are visible from"
            f" {TIMESTAMP!r} on"
        )
    else:
        text = f"source {source.name!r} reads {source.table}, a table of feature view {owner!r}"
    collector.add(text, source.location, f"give table={public_view!r}, timestamp={TIMESTAMP!r}")
    return False


def check_chain(
    subject: str,
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
            f"{subject} is computed {ours}, feature view {upstream.name!r}, which it reads,"
            f" {theirs}: intervals of one must consist of whole intervals of the other",
            where,
            f"use schedule {format_duration(upstream.schedule)}, a multiple or a divisor of it, and"
            " a phase that fits",
        )
        return
    # A reader with shorter intervals waits for the longer upstream interval to end.
    needed = upstream.delay + max(upstream.schedule - grid.schedule, timedelta(0))
    if delay < needed:
        collector.add(
            f"{subject}: its values would be visible {format_duration(delay)} after an interval's"
            f" end, before those of feature view {upstream.name!r} are published",
            where,
            f"give the source that reads {upstream.name!r}"
            f" settling_delay={format_duration(needed)!r}, or more",
        )


def _grid(schedule: timedelta, phase: timedelta) -> str:
    return f"every {format_duration(schedule)}" + (
        f" with phase {format_duration(phase)}" if phase else ""
    )
