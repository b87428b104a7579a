"""Compute all due intervals that the ledger lacks, and sync changed values online."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.base.progress import Progress
from controlplane.base.types import Interval
from controlplane.control import drift, ledger, owners
from controlplane.deploy import executor as deploying
from controlplane.deploy.release_files import read_view
from controlplane.errors import PermanentError, PlaneError, Problems
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.manifest.timing import timing
from controlplane.materialize.run import ViewRun, bring_online, check_range, materialize, missing
from controlplane.release.program import Program
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
    deployment, manifest = project.current()
    chosen = [manifest.view(name) for name in views] or list(manifest.views)
    if within is not None:
        check_range({view.name: timing(view) for view in chosen}, within, project.now())
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
                # Not rendered again: a later version of controlplane may render other SQL than the
                # deployed files, which Airflow runs.
                program, sql = read_view(
                    project.environment.releases, deployment.release, view.name
                )
                pieces = missing(program, () if recompute else covered, project.now(), within)
                view_runs.append(_run_view(project, program, sql, pieces, resync, on_progress))
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
    program: Program,
    sql: Mapping[str, str],
    pieces: Sequence[Interval],
    resync: bool,
    on_progress: Callable[[Progress], None],
) -> ViewRun:
    schedule = program.timing.schedule
    total = sum(piece.count(schedule) for piece in pieces)
    done = 0

    def report(step: str) -> None:
        on_progress(Progress(program.view, step, done, total))

    computed = []
    for piece in pieces:
        computed.append(materialize(program, sql, project.warehouse, piece, on_step=report))
        done += piece.count(schedule)
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
    return ViewRun(program.view, tuple(computed), synced)
