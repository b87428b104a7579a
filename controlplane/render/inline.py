"""Views computed inside one statement, directly from their sources: no table of theirs needs to be there.

The same templates as those of a run make rows, tiles and history, as common tables of the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane import naming, template
from controlplane.registry import schedule
from controlplane.registry.manifest import Manifest, ViewSpec
from controlplane.render.dialects import dialect
from controlplane.render.views import Extent, context


@dataclass(frozen=True)
class _Names:
    """The common tables of one view. `asked` holds the only keys that are wanted, and when; empty: all are. `visible`
    is the end of the last interval whose values are visible then, `seen` that of the interval of a row `r`. What is
    `looked_up` is the row itself."""

    rows: str
    tiles: str
    history: str
    asked: str
    visible: str
    seen: str
    looked_up: bool


def history(view: ViewSpec) -> str:
    """The common table that holds a view's history."""
    return f"plane_history_of_{view.name}"


def common_tables(manifest: Manifest, views: Sequence[ViewSpec], through: datetime, asked: str) -> list[str]:
    """The common tables of some views and of those that they read, in the order in which they need each other.

    Args:
        manifest: what is declared.
        views: whose histories are wanted.
        through: the last instant at which a value is wanted.
        asked: the relation with the keys that are wanted, which have the views' own names, and the instants `plane_at`.
    """
    d = dialect(manifest.dialect)
    wanted = {view.name for view in views}
    read = {name for view in views for name in _upstream(manifest, view)}
    doors = {f"{manifest.schema}.{name}": history(manifest.view(name)) for name in sorted(read)}
    found = []
    for view in manifest.views:
        if view.name in wanted | read:
            names = _Names(
                rows=f"plane_rows_of_{view.name}",
                tiles=f"plane_tiles_of_{view.name}",
                history=history(view),
                asked="" if view.name in read else asked,
                visible=d.floor(d.plus("plane_at", -view.delay), view.schedule, view.phase),
                seen=d.plus(d.floor("r.event_time", view.schedule, view.phase), view.schedule),
                looked_up=not (view.name in read or view.aggregates or view.static),
            )
            found.append(_one(manifest, view, through, names, doors))
    return found


def _upstream(manifest: Manifest, view: ViewSpec) -> set[str]:
    found = set(view.upstream)
    return found.union(*(_upstream(manifest, manifest.view(name)) for name in view.upstream))


def _one(manifest: Manifest, view: ViewSpec, through: datetime, names: _Names, doors: Mapping[str, str]) -> str:
    times = schedule.timing(view)
    end = times.computed_through(through)
    if times.last is not None:
        end = min(end, times.last)
    extent = Extent(
        start=naming.instant_literal(view.start),
        end=naming.instant_literal(max(end, view.start)),
        read_start=naming.instant_literal(schedule.read_start(view)),
    )
    return template.render("sql/inline.sql.j2", {"v": context(manifest, view, extent, doors), "n": names}).strip()
