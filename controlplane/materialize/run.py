"""Compute missing intervals without Airflow: the tasks of a DAG, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import Interval, format_duration, subtract
from controlplane.errors import PermanentError, PlaneError
from controlplane.manifest.timing import Timing
from controlplane.materialize import tasks
from controlplane.online import syncing
from controlplane.release.program import Program
from controlplane.release.variables import fill, run_variables


def missing(
    program: Program, covered: Iterable[Interval], now: datetime, within: Interval | None = None
) -> list[Interval]:
    """List the ranges that are due at `now` and not computed, in order.

    None is longer than `LONGEST_RUN`, except those of a static view, which is read as a whole. Only
    whole intervals inside `within` are listed.
    """
    due = program.timing.due(now)
    if due is not None and within is not None:
        due = program.timing.inside(within, due)
    if due is None:
        return []
    gaps = subtract(due, list(covered))
    return (
        gaps if program.static else [piece for gap in gaps for piece in program.timing.pieces(gap)]
    )


def check_range(timings: Mapping[str, Timing], within: Interval, now: datetime) -> None:
    """Check that at least one view has a whole interval inside `within` that is due at `now`.

    `timings` are by the views' names.

    Raises:
        PlaneError: no view has one; the hint lists the due intervals of each view.
    """
    due = {view: (timing, timing.due(now)) for view, timing in timings.items()}
    if not any(all_due and timing.inside(within, all_due) for timing, all_due in due.values()):
        known = [
            f"{view}: every {format_duration(t.schedule)} in {d or '(nothing yet)'}"
            for view, (t, d) in due.items()
        ]
        text = f"no feature view has a whole interval within {within} that is due"
        raise PlaneError(text, hint=f"due intervals: {'; '.join(known)}")


@dataclass(frozen=True)
class Materialized:
    """The result of a run of one range; `warnings` are problems that don't stop a publication."""

    interval: Interval
    row_count: int
    dropped_count: int
    version: int
    warnings: Sequence[str] = ()


def materialize(
    program: Program,
    sql: Mapping[str, str],
    warehouse: Warehouse,
    interval: Interval,
    *,
    on_step: Callable[[str], None] = lambda _: None,
) -> Materialized:
    """Compute one range of one view in the warehouse: stage, check, publish, unstage.

    Args:
        program: the view.
        sql: the release's SQL of the view by task, with open variables.
        warehouse: the warehouse of the view.
        interval: whole intervals of the view's schedule.
        on_step: called with the name of each step before it begins.
    """
    # The next run of the same range has the same name, and so the same stage: it replaces what a
    # killed run left.
    run_id = f"run:{interval}"
    variables = run_variables(program, interval, run_id)
    filled = {name: fill(sql[name], variables) for name in ("stage", "check", "publish", "unstage")}
    tasks.check_upstream(program, warehouse, interval.end)
    try:
        on_step("stage")
        tasks.stage(program, warehouse, filled["stage"])
        on_step("check")
        counts = tasks.check(program, warehouse, filled["check"])
        on_step("publish")
        head = tasks.publish(program, warehouse, filled["publish"], run_id)
    finally:
        on_step("unstage")
        _unstage(program, warehouse, filled["unstage"])
    return Materialized(
        interval, counts.row_count, counts.dropped_count, head.version, counts.warnings
    )


def _unstage(program: Program, warehouse: Warehouse, sql: str) -> None:
    try:
        tasks.unstage(program, warehouse, sql)
    except PermanentError:
        # Ctrl-C cancels the statement that runs when the thread of the signal wakes up. On a busy
        # machine that is this one, so it is repeated: the stage is dropped all the same, and the
        # interrupt stays the error.
        tasks.unstage(program, warehouse, sql)


@dataclass(frozen=True)
class ViewRun:
    """The result of a run for one view: the computed ranges, and the sync."""

    view: str
    computed: tuple[Materialized, ...]
    synced: syncing.SyncReport


def bring_online(
    program: Program,
    sql: Mapping[str, str],
    warehouse: Warehouse,
    store: OnlineStore | None,
    *,
    now: datetime,
    clock: Callable[[], datetime],
    on_rows: Callable[[int], None] = lambda _: None,
    full: bool = False,
) -> syncing.SyncReport:
    """Sync the publications since the last sync, and show this version if it is complete."""
    report = syncing.SyncReport()
    if store is not None and program.online:
        report = syncing.sync(
            program, warehouse, store, sql["sync"], clock=clock, on_rows=on_rows, full=full
        )
    tasks.activate(program, warehouse, store, sql["doors"], now)
    return report
