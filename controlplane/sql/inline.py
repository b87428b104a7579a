"""Views computed inside one statement, directly from their sources, without any table of a view.

The templates of a run render rows, tiles and history here too, as common tables of the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from controlplane.base import naming, template
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import (
    BatchViewSpec,
    IntervalByInterval,
    Manifest,
    StaticViewSpec,
    ViewSpec,
)
from controlplane.manifest.timing import read_start, timing
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.extents import Extent
from controlplane.sql.rows import evaluated_together
from controlplane.sql.view_context import ViewContext

FEW_POINTS = 50
"""A key with at most this many points joins each point with its tiles; others use window frames.

A frame costs something at every tile. A pair costs nothing elsewhere, but their number grows with
points times tiles.
"""


@dataclass(frozen=True)
class _Names:
    """The common tables of one view, and expressions for its template.

    Attributes:
        rows: The rows of the view's SQL.
        tiles: The tiles.
        history: The history.
        asked: The requested keys and instants; empty if all are requested.
        keys: Each requested key once.
        visible: The end of the last interval whose values are visible at `plane_at`.
        seen: The end of the interval of a row `r`.
        looked_up: Whether the view needs no tiles.
        few: The most points of a key that are paired with tiles; see `FEW_POINTS`.
    """

    rows: str
    tiles: str
    history: str
    asked: str
    keys: str
    visible: str
    seen: str
    looked_up: bool
    few: int


def history(view: ViewSpec) -> str:
    """Name the common table that holds a view's history."""
    return f"plane_history_of_{view.name}"


def rows(view: ViewSpec) -> str:
    """Name the common table that holds the rows of a view's SQL."""
    return f"plane_rows_of_{view.name}"


@dataclass(frozen=True)
class Asked:
    """The requested keys and instants.

    Attributes:
        spine: A relation with the keys, named as in the views, and the instants `plane_at`.
        keys: View name -> a relation with the view's distinct keys.
    """

    spine: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Computed:
    """The common tables of some views.

    Attributes:
        tables: Their definitions; each reads only earlier ones.
        effective: View name -> the `valid_from` of the row that is visible at `s.plane_at`, for
            views whose values are computed for exactly the requested instants.
    """

    tables: list[str]
    effective: Mapping[str, str]


def check_together(
    manifest: Manifest,
    views: Sequence[ViewSpec],
    purpose: str = "a training set from its sources",
    remedy: str = "create the training set from its tables (without --from-source)",
) -> None:
    """Check that one statement can compute these views and the views that they read.

    Args:
        manifest: the declared project.
        views: the views.
        purpose: what the statement is for.
        remedy: what to do when the views are deployed and computed.

    Raises:
        Problems: views whose intervals need a statement each.
    """
    d = dialect(manifest.dialect)
    read = {view.name for view in views} | {
        name for view in views for name in _upstream(manifest, view)
    }
    problems: list[PlaneError] = []
    for view in manifest.views:
        if view.name not in read or evaluated_together(manifest, view, d):
            continue
        construct = (
            view.evaluation.construct if isinstance(view.evaluation, IntervalByInterval) else ""
        )
        problems.append(
            PlaneError(
                f"feature view {view.name!r} is computed interval by interval ({construct}), each "
                f"in a statement of its own: {purpose} is one statement",
                where=view.location,
                hint=f"deploy and run it, and {remedy}",
            )
        )
    if problems:
        raise Problems(problems)


def common_tables(
    manifest: Manifest, views: Sequence[ViewSpec], through: datetime, asked: Asked
) -> Computed:
    """Render the common tables of some views and of the views that they read.

    Args:
        manifest: the declared project.
        views: the views whose histories are requested.
        through: the last requested instant.
        asked: the requested keys and instants.
    """
    d = dialect(manifest.dialect)
    requested = {view.name for view in views}
    read = {name for view in views for name in _upstream(manifest, view)}
    # A view reads another one by its public view: here the common table takes its place.
    relations = {f"{manifest.schema}.{name}": history(manifest.view(name)) for name in sorted(read)}
    tables: list[str] = []
    effective: dict[str, str] = {}
    for view in manifest.views:
        if view.name in requested | read:
            names = _Names(
                rows=rows(view),
                tiles=f"plane_tiles_of_{view.name}",
                history=history(view),
                asked="" if view.name in read else asked.spine,
                keys=asked.keys.get(view.name, ""),
                visible=_visible(view, "plane_at", d),
                seen=d.plus(d.floor("r.event_time", view.schedule, view.phase), view.schedule),
                looked_up=_looked_up(view, d) and view.name not in read,
                few=FEW_POINTS,
            )
            tables.append(_common_table(manifest, view, through, names, relations))
            if names.asked and view.aggregates:
                moment = (
                    f"least({_visible(view, 's.plane_at', d)}, {d.instant(_end(view, through))})"
                )
                effective[view.name] = d.plus(moment, view.delay)
    return Computed(tables, effective)


def distinct_keys(
    manifest: Manifest, view: ViewSpec, through: datetime, conditions: Sequence[str], most: int
) -> str:
    """Render a query for the first entities with rows in a view, in the order of their keys.

    Args:
        manifest: the declared project.
        view: one of its views.
        through: the last instant; later rows do not count.
        conditions: on the view's keys.
        most: the most entities.
    """
    # The last table is that of the view itself.
    *upstream, _ = common_tables(manifest, [view], through, Asked("", {})).tables
    relations = {
        f"{manifest.schema}.{name}": history(manifest.view(name))
        for name in sorted(_upstream(manifest, view))
    }
    context = ViewContext(manifest, view, _extent(view, through), relations)
    values = {"v": context, "upstream": upstream, "conditions": conditions, "most": most}
    return template.render("sql/entities.sql.j2", values).strip()


def _looked_up(view: ViewSpec, d: Dialect) -> bool:
    """Whether the view's value at an instant is just its newest row before, without tiles."""
    match view:
        case BatchViewSpec():
            return d.as_of_join == "on" and not view.aggregates
        case StaticViewSpec():
            return False
        case never:
            assert_never(never)


def _upstream(manifest: Manifest, view: ViewSpec) -> set[str]:
    direct = set(view.upstream)
    return direct.union(*(_upstream(manifest, manifest.view(name)) for name in view.upstream))


def _common_table(
    manifest: Manifest,
    view: ViewSpec,
    through: datetime,
    names: _Names,
    relations: Mapping[str, str],
) -> str:
    extent = _extent(view, through)
    context = {"v": ViewContext(manifest, view, extent, relations), "n": names}
    return template.render("sql/inline.sql.j2", context).strip()


def _extent(view: ViewSpec, through: datetime) -> Extent:
    return Extent(
        start=naming.instant_literal(view.start),
        end=naming.instant_literal(_end(view, through)),
        read_start=naming.instant_literal(read_start(view)),
    )


def _visible(view: ViewSpec, at: str, d: Dialect) -> str:
    return d.floor(d.plus(at, -view.delay), view.schedule, view.phase)


def _end(view: ViewSpec, through: datetime) -> datetime:
    """Return the end of the last interval whose values are visible at `through`."""
    times = timing(view)
    end = times.computed_through(through)
    if times.last is not None:
        end = min(end, times.last)
    return max(end, view.start)
