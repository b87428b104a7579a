"""Views computed inside one statement, directly from their sources: no table of theirs needs to be
there.

The same templates as those of a run make rows, tiles and history, as common tables of the
statement.
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
from controlplane.sql.instants import Extent
from controlplane.sql.rows import evaluated_together
from controlplane.sql.views import context

FEW_POINTS = 50
"""A key with at most so many points has each of them paired with its tiles: a frame would cost
something at every tile, a pair costs only itself, but with many points there are too many."""


@dataclass(frozen=True)
class _Names:
    """The common tables of one view, and their parts. `asked` holds the only keys that are wanted,
    and when; empty: all are. `keys` holds each of them once. `visible` is the end of the last
    interval whose values are visible then, `seen` that of the interval of a row `r`. A view that is
    `looked_up` needs no tiles. A key with more points than `few` has frames.
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
    """The common table that holds a view's history."""
    return f"plane_history_of_{view.name}"


def rows(view: ViewSpec) -> str:
    """The common table that holds the rows of a view's SQL."""
    return f"plane_rows_of_{view.name}"


@dataclass(frozen=True)
class Asked:
    """What is asked for: a relation with the keys, which have the views' own names, and the
    instants `plane_at`; and by a view's name one with its different keys."""

    spine: str
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Computed:
    """Common tables, in the order in which they need each other; and for views whose values are
    computed for the very instants that are asked for, the `valid_from` of what is visible at
    `s.plane_at`, by the view's name."""

    tables: list[str]
    effective: Mapping[str, str]


def check_together(manifest: Manifest, views: Sequence[ViewSpec]) -> None:
    """Check that one statement can compute some views, and those that they read.

    Raises:
        Problems: the views of which each interval needs a statement of its own.
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
                f"feature view {view.name!r} is computed interval by interval ({construct}), each"
                " in a statement of its own: a training set from its sources is one statement",
                where=view.location,
                hint=(
                    "deploy and run it, and create the training set from its tables (without"
                    " --from-source)"
                ),
            )
        )
    if problems:
        raise Problems(problems)


def common_tables(
    manifest: Manifest, views: Sequence[ViewSpec], through: datetime, asked: Asked
) -> Computed:
    """The common tables of some views and of those that they read.

    Args:
        manifest: what is declared.
        views: whose histories are wanted.
        through: the last instant at which a value is wanted.
        asked: the keys and instants at which they are wanted.
    """
    d = dialect(manifest.dialect)
    wanted = {view.name for view in views}
    read = {name for view in views for name in _upstream(manifest, view)}
    doors = {f"{manifest.schema}.{name}": history(manifest.view(name)) for name in sorted(read)}
    tables: list[str] = []
    effective: dict[str, str] = {}
    for view in manifest.views:
        if view.name in wanted | read:
            names = _Names(
                rows=rows(view),
                tiles=f"plane_tiles_of_{view.name}",
                history=history(view),
                asked="" if view.name in read else asked.spine,
                keys=asked.keys.get(view.name, ""),
                visible=_visible(view, "plane_at", d),
                seen=d.plus(d.floor("r.event_time", view.schedule, view.phase), view.schedule),
                looked_up=d.framed and _single_row(view) and view.name not in read,
                few=FEW_POINTS,
            )
            tables.append(_one(manifest, view, through, names, doors))
            if names.asked and view.aggregates:
                moment = (
                    f"least({_visible(view, 's.plane_at', d)}, {d.instant(_end(view, through))})"
                )
                effective[view.name] = d.plus(moment, view.delay)
    return Computed(tables, effective)


def _single_row(view: ViewSpec) -> bool:
    """Whether the value at an instant is that of one earlier row, so that an as-of join finds
    it."""
    match view:
        case BatchViewSpec():
            return not view.aggregates
        case StaticViewSpec():
            return False
        case never:
            assert_never(never)


def _upstream(manifest: Manifest, view: ViewSpec) -> set[str]:
    found = set(view.upstream)
    return found.union(*(_upstream(manifest, manifest.view(name)) for name in view.upstream))


def _one(
    manifest: Manifest, view: ViewSpec, through: datetime, names: _Names, doors: Mapping[str, str]
) -> str:
    extent = Extent(
        start=naming.instant_literal(view.start),
        end=naming.instant_literal(_end(view, through)),
        read_start=naming.instant_literal(read_start(view)),
    )
    found = {
        "v": context(manifest, view, extent, doors),
        "n": names,
    }
    return template.render("sql/inline.sql.j2", found).strip()


def _visible(view: ViewSpec, at: str, d: Dialect) -> str:
    return d.floor(d.plus(at, -view.delay), view.schedule, view.phase)


def _end(view: ViewSpec, through: datetime) -> datetime:
    """Where the values end that are visible at `through`."""
    times = timing(view)
    end = times.computed_through(through)
    if times.last is not None:
        end = min(end, times.last)
    return max(end, view.start)
