"""Compute all due intervals that the ledger lacks, and sync changed values online."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.base.progress import Progress
from controlplane.base.types import Interval
from controlplane.control import drift, ledger, owners
from controlplane.deploy import executor as deploying
from controlplane.errors import PermanentError, PlaneError, Problems
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.materialize.run import ViewRun, bring_online, check_range, materialize, missing
from controlplane.release.program import build
from controlplane.sql.views import render_view
from controlplane.workspace.project import Project

_LOST = "run `plane deploy` to create it again; the next `plane run` computes its rows"


def run(
    project: Project,
    views: Sequence[str] = (),
    *,
    within: Interval | None = None,
    recompute: bool = False,
    resync: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[ViewRun]:
    """See `ControlPlane.run`."""
    manifest = project.current()[1]
    chosen = [manifest.view(name) for name in views] or list(manifest.views)
    if within is not None:
        check_range([build(manifest, view) for view in chosen], within, project.now())
    view_runs: list[ViewRun] = []
    with project.state.lock(
        f"{project.environment.name}/run",
        holder=deploying.holder(),
        purpose="run",
        now=project.clock,
    ):
        owners.check_run(project.warehouse, manifest.schema, manifest.project, manifest.environment)
        entries = ledger.entries(project.warehouse)
        failed, problems = _lost(project, manifest, chosen, entries)
        for view in chosen:
            # A view that reads a failed view would fail, too: it needs the missing intervals.
            if view.name in failed or failed.intersection(view.upstream):
                failed.add(view.name)
                continue
            covered = ledger.covered(
                entries.get((f"{manifest.schema}.{view.name}", view.fingerprint), ())
            )
            try:
                pieces = missing(
                    build(manifest, view), () if recompute else covered, project.now(), within
                )
                view_runs.append(_run_view(project, manifest, view, pieces, resync, on_progress))
            except PlaneError as error:
                failed.add(view.name)
                # A store that is down fails every view with the same error: report it once.
                if str(error) not in map(str, problems):
                    problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return view_runs


def _lost(
    project: Project, manifest: Manifest, views: Sequence[ViewSpec], entries: drift.Entries
) -> tuple[set[str], list[PlaneError]]:
    """Return the views that can't be computed before a deploy, and an error for each lost object.

    The ledger still lists the intervals of a lost table as computed, so a run must check first.
    """
    drifts = drift.find(project.warehouse, manifest, views, entries, project.now())
    blocked: set[str] = set()
    problems: list[PlaneError] = []
    for view_drift in drifts:
        if not view_drift.view and any(
            damage.problem == drift.MISSING for damage in view_drift.damages
        ):
            blocked.update(view.name for view in views)
        elif view_drift.recomputed or view_drift.dropped:
            blocked.add(view_drift.view)
        elif view_drift.computed_through is not None:
            continue  # the run itself writes the lost rows of the ledger
        location = manifest.view(view_drift.view).location if view_drift.view else None
        prefix = f"feature view {view_drift.view!r}: " if view_drift.view else ""
        damages = [damage for damage in view_drift.damages if not damage.outdated]
        problems += [PermanentError(f"{prefix}{d}", where=location, hint=_LOST) for d in damages]
    return blocked, problems


def _run_view(
    project: Project,
    manifest: Manifest,
    view: ViewSpec,
    pieces: Sequence[Interval],
    resync: bool,
    on_progress: Callable[[Progress], None],
) -> ViewRun:
    program, rendered = build(manifest, view), render_view(manifest, view)
    sql = {
        name: getattr(rendered, name)
        for name in ("stage", "check", "publish", "unstage", "sync", "doors")
    }
    total = sum(piece.count(view.schedule) for piece in pieces)
    done = 0

    def report(step: str) -> None:
        on_progress(Progress(view.name, step, done, total))

    computed = []
    for piece in pieces:
        computed.append(materialize(program, sql, project.warehouse, piece, on_step=report))
        done += piece.count(view.schedule)
    # Once for all pieces: a sync reads the newest rows, whichever run computed them.
    report("sync")
    synced = bring_online(
        program,
        sql,
        project.warehouse,
        project.store,
        now=project.now(),
        clock=project.clock,
        full=resync,
    )
    report("done")
    return ViewRun(view.name, tuple(computed), synced)
