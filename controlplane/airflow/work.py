"""The work of the operators. They import this when a task runs: it imports drivers and Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from controlplane.airflow import hooks
from controlplane.airflow.timetable import plain
from controlplane.airflow.window import (
    Request,
    check_configuration,
    interval_of,
    partition_keys,
    waits_until,
)
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import Interval, parse_instant
from controlplane.control import owners
from controlplane.errors import PermanentError
from controlplane.materialize import tasks
from controlplane.online import syncing
from controlplane.release import program as programs
from controlplane.release.variables import RunVariables, run_variables

if TYPE_CHECKING:
    from airflow.sdk import Context


def clock() -> datetime:
    """Return the present time, by the worker's clock."""
    return datetime.now(UTC)


class Run:
    """One DAG run of one view.

    Args:
        program: the view's program, a file of the release.
        context: the task's context from Airflow.

    Raises:
        PermanentError: the run's configuration has unknown keys, or its range or partition is not
            valid for the view.
    """

    def __init__(self, program: str, context: Context) -> None:
        self.program = programs.from_json(Path(program).read_text(encoding="utf-8"))
        self.interval: Interval = interval_of(self.program, _request(self.program.view, context))
        self._run_id: str = context["run_id"]
        self.variables: RunVariables = run_variables(self.program, self.interval, self._run_id)
        self._partitioned = bool(context.get("partition_key"))
        ti = context["ti"]
        self.tags: Mapping[str, str] = {
            "view": self.program.view,
            "owner": self.program.owner,
            "run": self._run_id,
            "dag_id": ti.dag_id,
            "task_id": ti.task_id,
            "try_number": str(ti.try_number),
        }

    def waits_until(self) -> datetime | None:
        """Return when the run may begin to read, if that is in the future."""
        return waits_until(self.program, self.interval, clock())

    def announced(self) -> list[str]:
        """Return the keys of the partitions to announce on the run's assets.

        Empty if the run has a partition, which Airflow announces by itself.
        """
        return [] if self._partitioned else partition_keys(self.program, self.interval)

    def stage(self, warehouse: Warehouse, sql: str) -> None:
        """See `materialize.tasks.check_upstream` and `stage`.

        Raises:
            PermanentError: another environment has taken over the schema; nothing is written.
        """
        program = self.program
        owners.check_run(warehouse, program.schema, program.project, program.environment)
        tasks.check_upstream(self.program, warehouse, self.interval.end)
        tasks.stage(self.program, warehouse, sql)

    def check(self, warehouse: Warehouse, sql: str) -> tuple[dict[str, Any], list[str]]:
        """See `materialize.tasks.check`; returns the counts as plain data, and warnings."""
        counts = tasks.check(self.program, warehouse, sql)
        return asdict(counts), counts.warnings

    def publish(self, warehouse: Warehouse, sql: str) -> dict[str, Any]:
        """See `materialize.tasks.publish`; returns version and watermark as plain data."""
        head = tasks.publish(self.program, warehouse, sql, self._run_id)
        return {"version": head.version, "frontier": head.watermark.isoformat()}

    def unstage(self, warehouse: Warehouse, sql: str) -> None:
        """See `materialize.tasks.unstage`."""
        tasks.unstage(self.program, warehouse, sql)

    def sync(self, warehouse: Warehouse, online_conn_id: str, sql: str) -> dict[str, Any]:
        """See `online.syncing.sync`; returns the report as plain data."""
        with _opened(online_conn_id) as store:
            return asdict(syncing.sync(self.program, warehouse, store, sql, clock=clock))

    def begin_sync(self, online_conn_id: str, shards: int) -> tuple[dict[str, Any], list[str]]:
        """See `online.syncing.begin_sync`; returns the start as plain data, and warnings."""
        with _opened(online_conn_id) as store:
            start = syncing.begin_sync(self.program, store, clock=clock, shards=shards)
        return msgspec.to_builtins(start), list(start.warnings)

    def write_shard(
        self, warehouse: Warehouse, online_conn_id: str, sql: str, begun: object, shard: int
    ) -> dict[str, Any]:
        """See `online.syncing.write_shard`; returns the report as plain data."""
        start = _converted(begun, syncing.Begun, "begin_sync")
        with _opened(online_conn_id) as store:
            return asdict(
                syncing.write_shard(self.program, warehouse, store, sql, start, shard, clock=clock)
            )

    def end_sync(
        self,
        warehouse: Warehouse,
        online_conn_id: str,
        sql: str,
        begun: object,
        reports: Iterable[object],
    ) -> tuple[dict[str, Any], str]:
        """See `online.syncing.end_sync`; returns the report as plain data.

        The second value says which values the store has lost meanwhile, if any.
        """
        start = _converted(begun, syncing.Begun, "begin_sync")
        shards = [_converted(report, syncing.ShardReport, "sync") for report in reports]
        with _opened(online_conn_id) as store:
            try:
                return asdict(syncing.end_sync(self.program, store, start, shards)), ""
            except syncing.ValuesLost as error:
                # A task can't make Airflow run the shards' tasks again, so this one writes all
                # values.
                report = syncing.sync(self.program, warehouse, store, sql, clock=clock)
                return asdict(report), error.message

    def activate(self, warehouse: Warehouse, online_conn_id: str | None, sql: str) -> bool:
        """See `materialize.tasks.activate`; a version is complete with all intervals due by now."""
        now = self.program.now or clock()
        if online_conn_id is None:
            return tasks.activate(self.program, warehouse, None, sql, now)
        with _opened(online_conn_id) as store:
            return tasks.activate(self.program, warehouse, store, sql, now)


T = TypeVar("T")


def _converted(value: object, result_type: type[T], task: str) -> T:
    """Convert the result of an earlier task, which comes as plain data from XCom."""
    try:
        return msgspec.convert(value, result_type)
    except msgspec.ValidationError:
        raise PermanentError(
            f"the result of task {task!r} is missing, or is of another release",
            hint=(
                "clear begin_sync and the tasks after it; a task that was marked as successful has"
                " written nothing"
            ),
        ) from None


@contextmanager
def _opened(online_conn_id: str) -> Iterator[OnlineStore]:
    store = hooks.open_store(online_conn_id)
    try:
        yield store
    finally:
        store.close()


def _request(view: str, context: Context) -> Request:
    dag_run = context["dag_run"]
    partition: datetime | None = context.get("partition_date")
    key = context.get("partition_key")
    if partition is None and key:
        try:
            partition = parse_instant(key)
        except ValueError:
            text = f"the run's partition {key!r} is not an interval's start"
            raise PermanentError(text, hint="write it like 2013-01-01T06:00:00") from None
    configuration = check_configuration(view, dag_run.conf or {})
    return Request(
        at=plain(dag_run.logical_date or dag_run.run_after),
        partition=plain(partition) if partition is not None else None,
        start=configuration.get("start"),
        end=configuration.get("end"),
    )
