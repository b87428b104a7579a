"""What the warehouse says of new and changed views before they are deployed, and what a run of each
view takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from controlplane.base.ports import Estimate, Statement, Warehouse
from controlplane.base.types import Interval
from controlplane.control.ledger import Entry
from controlplane.errors import DefinitionError, PermanentError, PlaneError, Problems
from controlplane.manifest.specs import BatchViewSpec, Manifest, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import timing
from controlplane.plan.actions import CreateView, RedefineView
from controlplane.plan.forecast import Cost
from controlplane.plan.plan import Plan
from controlplane.release.program import build
from controlplane.release.release import Release
from controlplane.release.variables import fill, run_variables
from controlplane.sql.dialects import dialect
from controlplane.sql.rehearsal import rehearsed
from controlplane.sql.statements import split

EXPLAINED = 20
"""So many views are explained in the embedded warehouse: it has planned all their queries for their
columns before."""
_LOOKED_AT = 100


def explain(
    plan: Plan, manifest: Manifest, release: Release, warehouse: Warehouse, now: datetime
) -> Plan:
    """Have the warehouse plan what each new or changed view would stage, for its newest interval
    that is due, and compile the queries behind that, for which tables that a deploy makes stand in.

    A view that reads one which changes as well is left out. The embedded warehouse is asked for
    what is staged alone: it is part of the package, and the rest is no text of users.

    Raises:
        Problems: all that the warehouse refuses to stage, with the views' places. What it would not
            compile behind that is a warning of the plan: tables that stand in are not quite those
            that will be there.
    """
    changed = {
        action.view for action in plan.actions if isinstance(action, CreateView | RedefineView)
    }
    views = [
        view
        for view in manifest.views
        if view.name in changed and not changed.intersection(view.upstream)
    ]
    remote = dialect(manifest.dialect).has_rights
    if not remote:
        views = views[:EXPLAINED]
    runs = [_Run(manifest, release, view, now) for view in views]
    answers = warehouse.explain(
        [run.statements("stage")[0].sql.partition(" AS\n")[2] for run in runs]
    )
    problems: list[PlaneError] = []
    costs: dict[str, list[Cost]] = {}
    for view, answer in zip(views, answers, strict=True):
        if isinstance(answer, PermanentError):
            text = (
                f"feature view {view.name!r}: the warehouse refuses what a run would stage:"
                f" {answer.message}"
            )
            problems.append(DefinitionError(text, where=view.location, hint=answer.hint))
        else:
            costs[view.name] = _estimated(answer)
    if problems:
        raise Problems(problems)
    warnings = _refused(runs, warehouse) if remote else ()
    return msgspec.structs.replace(_with(plan, costs), warnings=tuple(warnings))


class _Run:
    """A view's newest run that is due."""

    def __init__(self, manifest: Manifest, release: Release, view: ViewSpec, now: datetime) -> None:
        self.view, self._files = view, release.files
        times = timing(view)
        end = due.end if (due := times.due(now)) else view.start + view.schedule
        self._variables = run_variables(
            build(manifest, view), Interval(end - view.schedule, end), "plan"
        )

    def statements(self, *names: str) -> list[Statement]:
        """Those of some files, with all put in."""
        texts = (self._files[f"sql/{self.view.name}.{name}.sql"] for name in names)
        return [statement for text in texts for statement in split(fill(text, self._variables))]


def _refused(runs: Sequence[_Run], warehouse: Warehouse) -> Iterator[str]:
    """The first query of each view that the warehouse would not compile."""
    asked = [
        (run.view, query)
        for run in runs
        for query in rehearsed(
            run.statements("setup"), run.statements("stage", "check", "publish", "doors")
        )
    ]
    told = set()
    answers = warehouse.describe_all([query.sql for _, query in asked])
    for (view, query), answer in zip(asked, answers, strict=True):
        if isinstance(answer, PermanentError) and view.name not in told:
            told.add(view.name)
            yield (
                f"feature view {view.name!r}: the warehouse may refuse to {query.name}:"
                f" {answer.message}"
            )


def from_runs(
    plan: Plan, manifest: Manifest, entries: Mapping[tuple[str, str], Sequence[Entry]]
) -> Plan:
    """Add the rows of an interval in the newest runs of each view, of an earlier version where this
    one has none."""
    by_view: dict[str, list[Entry]] = {}
    for (name, _), found in entries.items():
        by_view.setdefault(name, []).extend(found)
    costs: dict[str, list[Cost]] = {}
    for view in manifest.views:
        name = f"{manifest.schema}.{view.name}"
        known = entries.get((name, view.fingerprint)) or sorted(
            by_view.get(name, ()), key=lambda entry: entry.version
        )
        rows = [
            round(entry.row_count / _readings(view, entry.interval))
            for entry in known[-_LOOKED_AT:]
        ]
        if rows:
            costs[view.name] = [Cost(min(rows), max(rows), "rows", "earlier runs")]
    return _with(plan, costs)


def _readings(view: ViewSpec, interval: Interval) -> int:
    """How many everyday runs would have read the rows of this interval: a static view reads all in
    each."""
    match view:
        case BatchViewSpec():
            return max(interval.count(view.schedule), 1)
        case StaticViewSpec():
            return 1
        case never:
            assert_never(never)


def _with(plan: Plan, costs: Mapping[str, Sequence[Cost]]) -> Plan:
    forecasts = tuple(
        msgspec.structs.replace(forecast, costs=(*forecast.costs, *costs.get(forecast.view, ())))
        for forecast in plan.forecasts
    )
    return msgspec.structs.replace(plan, forecasts=forecasts)


def _estimated(answer: Estimate) -> list[Cost]:
    told = (("rows", answer.rows), ("bytes", answer.read_bytes))
    return [Cost(amount, amount, unit, "estimate") for unit, amount in told if amount is not None]
