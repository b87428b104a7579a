"""Check new and changed views in the warehouse before a deploy, and estimate the cost of a run."""

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
from controlplane.sql.rehearsal import rehearsed, stand_ins
from controlplane.sql.statements import read

EXPLAINED = 20
"""The most views that are explained in the embedded warehouse.

Compiling the definitions has planned all their queries there already.
"""
_NEWEST_RUNS = 100


def explain(
    plan: Plan, manifest: Manifest, release: Release, warehouse: Warehouse, now: datetime
) -> Plan:
    """Have the warehouse plan the newest due run of each new or changed view.

    The query of the stage is explained, which also estimates its cost. Later queries of the run are
    compiled over empty relations in place of the tables that the deploy will create. A refused
    later query is only a warning of the plan, because these relations are not quite the tables.
    A view that reads another changed view is left out: its source doesn't exist yet.

    Raises:
        Problems: the warehouse refuses to stage a view; one error for each, with its location.
    """
    changed = {
        action.view for action in plan.actions if isinstance(action, CreateView | RedefineView)
    }
    views = [
        view
        for view in manifest.views
        if view.name in changed and not changed.intersection(view.upstream)
    ]
    # The embedded warehouse explains only stages: it comes with the package, so the other queries,
    # which hold no text of users, are tested with it.
    remote = dialect(manifest.dialect).has_rights
    if not remote:
        views = views[:EXPLAINED]
    runs = [_Run(manifest, release, view, now) for view in views]
    answers = warehouse.explain([run.staged for run in runs])
    problems: list[PlaneError] = []
    costs: dict[str, list[Cost]] = {}
    for view, answer in zip(views, answers, strict=True):
        if isinstance(answer, PermanentError):
            text = (
                f"feature view {view.name!r}: the warehouse refuses the SQL that computes a run's"
                f" rows: {answer.message}"
            )
            problems.append(DefinitionError(text, where=view.location, hint=answer.hint))
        else:
            costs[view.name] = _estimated(answer)
    if problems:
        raise Problems(problems)
    warnings = _refused(runs, warehouse) if remote else ()
    return msgspec.structs.replace(_with(plan, costs), warnings=tuple(warnings))


class _Run:
    """The newest due run of a view."""

    def __init__(self, manifest: Manifest, release: Release, view: ViewSpec, now: datetime) -> None:
        self.view, self._manifest, self._release = view, manifest, release
        times = timing(view)
        end = due.end if (due := times.due(now)) else view.start + view.schedule
        self._variables = run_variables(
            build(manifest, view), Interval(end - view.schedule, end), "plan"
        )

    def _fill(self, text: str) -> str:
        return fill(text, self._variables)

    @property
    def staged(self) -> str:
        """The query whose rows the run stages."""
        return read(self._fill(self._release.files[f"sql/{self.view.name}.stage.sql"]))[0].query

    def rehearsed(self) -> list[Statement]:
        """Return the queries of the run over the relations of `stand_ins`."""
        tables = stand_ins(self._manifest, self.view)
        return rehearsed(self._manifest, self.view, tables, self._fill)


def _refused(runs: Sequence[_Run], warehouse: Warehouse) -> Iterator[str]:
    """Yield a warning for the first query of each view that the warehouse doesn't compile."""
    queries = [(run.view, query) for run in runs for query in run.rehearsed()]
    refused_views = set()
    answers = warehouse.describe_all([query.sql for _, query in queries])
    for (view, query), answer in zip(queries, answers, strict=True):
        if isinstance(answer, PermanentError) and view.name not in refused_views:
            refused_views.add(view.name)
            yield (
                f"feature view {view.name!r}: the warehouse may refuse to {query.name}:"
                f" {answer.message}"
            )


def from_runs(
    plan: Plan, manifest: Manifest, entries: Mapping[tuple[str, str], Sequence[Entry]]
) -> Plan:
    """Add the cost of an interval in rows, from the newest runs of each view.

    A version without runs takes the rows of earlier versions.
    """
    by_view: dict[str, list[Entry]] = {}
    for (name, _), publications in entries.items():
        by_view.setdefault(name, []).extend(publications)
    costs: dict[str, list[Cost]] = {}
    for view in manifest.views:
        name = f"{manifest.schema}.{view.name}"
        known = entries.get((name, view.fingerprint)) or sorted(
            by_view.get(name, ()), key=lambda entry: entry.version
        )
        rows = [
            round(entry.row_count / _readings(view, entry.interval))
            for entry in known[-_NEWEST_RUNS:]
        ]
        if rows:
            costs[view.name] = [Cost(min(rows), max(rows), "rows", "earlier runs")]
    return _with(plan, costs)


def _readings(view: ViewSpec, interval: Interval) -> int:
    """Return how many everyday runs would have read the rows of a publication's interval."""
    match view:
        case BatchViewSpec():
            return max(interval.count(view.schedule), 1)
        case StaticViewSpec():
            # Every run of a static view reads all rows.
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
    amounts = (("rows", answer.rows), ("bytes", answer.read_bytes))
    return [Cost(n, n, unit, "estimate") for unit, n in amounts if n is not None]
