"""What the warehouse says of new and changed views before they are deployed, and what a run of each view takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from controlplane.errors import DefinitionError, PermanentError, PlaneError, Problems
from controlplane.ledger import Entry
from controlplane.plan.actions import CreateView, RedefineView
from controlplane.plan.forecast import Cost
from controlplane.plan.plan import Plan
from controlplane.ports import Estimate, Statement, Warehouse
from controlplane.registry.manifest import Manifest, ViewSpec
from controlplane.registry.schedule import timing
from controlplane.render.dialects import dialect
from controlplane.render.program import build
from controlplane.render.rehearsal import rehearsed
from controlplane.render.release import Release
from controlplane.render.statements import split
from controlplane.runtime.variables import fill, run_variables
from controlplane.types import Interval

EXPLAINED = 20
"""So many views are explained in the embedded warehouse: it has planned all their queries for their columns before."""
_LOOKED_AT = 100
_REHEARSED = ("stage", "check", "publish", "doors")
Filled = Mapping[str, Sequence[Statement]]


def explain(plan: Plan, manifest: Manifest, release: Release, warehouse: Warehouse, now: datetime) -> Plan:
    """Have the warehouse plan what each new or changed view would stage, for its newest interval that is due, and check
    the queries behind that, for which tables that a deploy makes stand in.

    A view that reads one which changes as well is left out. The embedded warehouse checks no more than what is staged:
    it is the one that the rest was made with.

    Raises:
        Problems: all that the warehouse refuses, with the views' places.
    """
    changed = {action.view for action in plan.actions if isinstance(action, CreateView | RedefineView)}
    views = [view for view in manifest.views if view.name in changed and not changed.intersection(view.upstream)]
    remote = dialect(manifest.dialect).has_rights
    if not remote:
        views = views[:EXPLAINED]
    filled = [_filled(release, manifest, view, now) for view in views]
    answers = warehouse.explain([statements["stage"][0].sql.partition(" AS\n")[2] for statements in filled])
    problems: list[PlaneError] = []
    costs: dict[str, list[Cost]] = {}
    for view, answer in zip(views, answers, strict=True):
        if isinstance(answer, PermanentError):
            text = f"feature view {view.name!r}: the warehouse refuses what a run would stage: {answer.message}"
            problems.append(DefinitionError(text, where=view.place.location(), hint=answer.hint))
        else:
            costs[view.name] = _estimated(answer)
    if remote and not problems:
        problems += _refused(views, filled, warehouse)
    if problems:
        raise Problems(problems)
    return _with(plan, costs)


def _refused(views: Sequence[ViewSpec], filled: Sequence[Filled], warehouse: Warehouse) -> Iterator[PlaneError]:
    """The first query of each view that the warehouse would not run behind what is staged."""
    asked = [
        (view, query)
        for view, files in zip(views, filled, strict=True)
        for query in rehearsed(files["setup"], [one for name in _REHEARSED for one in files[name]])
    ]
    told = set()
    answers = warehouse.describe_all([query.sql for _, query in asked])
    for (view, query), answer in zip(asked, answers, strict=True):
        if isinstance(answer, PermanentError) and view.name not in told:
            told.add(view.name)
            text = f"feature view {view.name!r}: the warehouse refuses to {query.name}: {answer.message}"
            yield DefinitionError(text, where=view.place.location(), hint=answer.hint)


def from_runs(plan: Plan, manifest: Manifest, entries: Mapping[tuple[str, str], Sequence[Entry]]) -> Plan:
    """Add the rows of an interval in the newest runs of each view, of an earlier version where this one has none."""
    by_view: dict[str, list[Entry]] = {}
    for (name, _), found in entries.items():
        by_view.setdefault(name, []).extend(found)
    costs: dict[str, list[Cost]] = {}
    for view in manifest.views:
        name = f"{manifest.schema}.{view.name}"
        known = entries.get((name, view.fingerprint)) or sorted(by_view.get(name, ()), key=lambda entry: entry.version)
        rows = [
            round(entry.row_count / (1 if view.static else max(entry.interval.count(view.schedule), 1)))
            for entry in known[-_LOOKED_AT:]
        ]
        if rows:
            costs[view.name] = [Cost(min(rows), max(rows), "rows", "earlier runs")]
    return _with(plan, costs)


def _with(plan: Plan, costs: Mapping[str, Sequence[Cost]]) -> Plan:
    forecasts = tuple(
        msgspec.structs.replace(forecast, costs=(*forecast.costs, *costs.get(forecast.view, ())))
        for forecast in plan.forecasts
    )
    return msgspec.structs.replace(plan, forecasts=forecasts)


def _filled(release: Release, manifest: Manifest, view: ViewSpec, now: datetime) -> Filled:
    """The statements of a view's newest run that is due, by the files that hold them."""
    times = timing(view)
    end = due.end if (due := times.due(now)) else view.start + view.schedule
    variables = run_variables(build(manifest, view), Interval(end - view.schedule, end), "plan")
    return {
        name: split(fill(release.files[f"sql/{view.name}.{name}.sql"], variables)) for name in ("setup", *_REHEARSED)
    }


def _estimated(answer: Estimate) -> list[Cost]:
    told = (("rows", answer.rows), ("bytes", answer.read_bytes))
    return [Cost(amount, amount, unit, "estimate") for unit, amount in told if amount is not None]
