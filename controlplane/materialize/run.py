"""Computes what is missing, without Airflow: the same tasks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import Interval, format_duration, subtract
from controlplane.errors import PlaneError
from controlplane.materialize import tasks
from controlplane.online import syncing
from controlplane.release.program import Program
from controlplane.release.variables import fill, run_variables


def missing(
    program: Program, covered: Iterable[Interval], now: datetime, within: Interval | None = None
) -> list[Interval]:
    """The stretches that are due at `now` and not covered, in order, none longer than
    `LONGEST_RUN`.

    A static view is read as a whole, however long the stretch. `within` limits them: only whole
    intervals inside it.
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


def check_range(programs: Sequence[Program], within: Interval, now: datetime) -> None:
    """Raise unless at least one view has a whole interval inside `within` that is due at `now`.

    Raises:
        PlaneError: there is none; the hint says what each view has.
    """
    due = {program.view: (program.timing, program.timing.due(now)) for program in programs}
    if not any(all_due and timing.inside(within, all_due) for timing, all_due in due.values()):
        known = [
            f"{view}: every {format_duration(t.schedule)} in {d or '(nothing yet)'}"
            for view, (t, d) in due.items()
        ]
        text = f"no feature view has a whole interval within {within} that is due"
        raise PlaneError(text, hint=f"due are, of {'; of '.join(known)}")


@dataclass(frozen=True)
class Materialized:
    """What a run of one stretch did; `warnings` are what its check found that blocks nothing."""

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
    """Compute one stretch of one view into the warehouse: stage, check, publish, unstage.

    A run that was killed is healed by the next one of the same stretch: it has the same stage.

    Args:
        program: the view.
        sql: the release's texts of the view by task, their open places still open.
        warehouse: where it runs.
        interval: whole intervals of the view's schedule.
        on_step: told the name of each step before it begins.
    """
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
        tasks.unstage(program, warehouse, filled["unstage"])
    return Materialized(
        interval, counts.row_count, counts.dropped_count, head.version, counts.warnings
    )


@dataclass(frozen=True)
class ViewRun:
    """What a run did for one view: the stretches that it computed, and its sync."""

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
    """Sync what was published since the last sync, and show this version once it is complete at
    `now`."""
    report = syncing.SyncReport()
    if store is not None and program.online:
        report = syncing.sync(
            program, warehouse, store, sql["sync"], clock=clock, on_rows=on_rows, full=full
        )
    due = program.timing.due(now)
    tasks.activate(
        program, warehouse, store, sql["doors"], due.end if due else program.timing.start
    )
    return report
