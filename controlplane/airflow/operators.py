"""The tasks of a view's DAG: operators over `controlplane.materialize.tasks`.

A DAG file imports this at every parse, so this must not import anything heavy: see `work`. Each
task's SQL is a template field. Its variables (`plane.start`, `plane.stage`, ...) get their values
from the DAG run, so that Airflow shows exactly the statements that ran.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from controlplane.errors import PermanentError, PlaneError, TransientError

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from controlplane.airflow.work import Run
    from controlplane.base.ports import Warehouse

_STOP_AGAIN = 0.5  # seconds
_PROGRESS = "steps"
"""Where a task that does all steps keeps those that are done, for its next try."""


class ViewOperator(BaseOperator):
    """One step of a view's run in the warehouse.

    Args:
        program: the view's program, a file of the release.
        sql: the step's statements, a file of the release.
        warehouse_conn_id: Airflow's connection to the warehouse.
        kwargs: the arguments of every operator.
    """

    template_fields: Sequence[str] = ("sql",)
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}

    def __init__(
        self, *, program: str, sql: str, warehouse_conn_id: str = "plane_warehouse", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.sql = sql
        self.warehouse_conn_id = warehouse_conn_id
        self._warehouse: Warehouse | None = None
        self._killed = False

    def render_template_fields(
        self, context: Context, jinja_env: jinja2.Environment | None = None
    ) -> None:
        """Render the SQL with the run's variables, under the name `plane`."""
        run = self._run(context)
        self.log.info("%s of feature view %s over %s", self.task_id, run.program.view, run.interval)
        filled: Any = {**context, "plane": run.variables}
        super().render_template_fields(filled, jinja_env)

    def execute(self, context: Context) -> Any:
        """Run the step.

        Raises:
            TransientError: the step failed, and a retry may succeed.
            PermanentError: the step failed, and a retry would fail again.
        """
        # lazy: drivers and Arrow, which must not slow down the parse of a DAG file
        from controlplane.airflow import hooks

        run = self._run(context)
        warehouse = self._warehouse = hooks.open_warehouse(self.warehouse_conn_id, run.tags)
        try:
            if self._killed:
                raise PermanentError("the task was stopped before it began")
            return self.step(run, warehouse, context)
        except PermanentError as error:
            if self._killed:
                raise TransientError("the task was stopped", hint="run it again") from error
            raise
        finally:
            self._warehouse = None
            warehouse.close()

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> Any:
        """Do this step; Airflow shows the result as the task's XCom."""
        raise NotImplementedError

    def on_kill(self) -> None:
        """Stop the running statement, and those that would follow it."""
        self._killed = True
        threading.Thread(target=self._stop, daemon=True).start()

    def _stop(self) -> None:
        # Repeatedly, because the first call may come between two statements and stop nothing.
        while (warehouse := self._warehouse) is not None:
            warehouse.cancel()
            time.sleep(_STOP_AGAIN)

    def _run(self, context: Context) -> Run:
        # lazy: drivers and Arrow, which must not slow down the parse of a DAG file
        from controlplane.airflow.work import Run

        return Run(self.program, context)

    def _check(self, run: Run, warehouse: Warehouse, sql: str) -> dict[str, Any]:
        """Check the staged rows, and log the warnings."""
        checked, warnings = run.check(warehouse, sql)
        for warning in warnings:
            self.log.warning("feature view %s: %s", run.program.view, warning)
        return checked

    def _announce(self, run: Run, context: Context) -> None:
        """Add every partition that the run covered to the events of the step's assets."""
        keys = run.announced()
        for asset in self.outlets:
            if keys:
                context["outlet_events"][asset].add_partitions(keys)


class _AfterDelay(ViewOperator):
    """A task that begins after the interval's settling delay."""

    def execute(self, context: Context) -> Any:
        """Run the step, or free the worker until the interval's settling delay is over."""
        moment = self._run(context).waits_until()
        if moment is not None:
            # lazy: only a task that waits needs it
            from airflow.providers.standard.triggers.temporal import DateTimeTrigger

            self.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")
        return super().execute(context)

    def resume(self, context: Context, event: Any) -> Any:
        """Run the step after the wait."""
        return self.execute(context)


class Stage(_AfterDelay):
    """Compute the interval's rows into a staging table, after the settling delay."""

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> None:
        """See `materialize.tasks.stage`."""
        run.stage(warehouse, self.sql)


class Check(ViewOperator):
    """Check the staged rows; if they fail, nothing is published."""

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """See `materialize.tasks.check`; warnings are logged."""
        return self._check(run, warehouse, self.sql)


class Publish(ViewOperator):
    """Replace the interval in the view's tables, atomically, and announce it."""

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """See `materialize.tasks.publish`."""
        published = run.publish(warehouse, self.sql)
        self._announce(run, context)
        return published


class Unstage(ViewOperator):
    """Drop the staging table, also after a failure."""

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> None:
        """See `materialize.tasks.unstage`."""
        run.unstage(warehouse, self.sql)


class Sync(ViewOperator):
    """Write the published values to the online store.

    Args:
        online_conn_id: Airflow's connection to the online store.
        kwargs: the arguments of every step.
    """

    def __init__(self, *, online_conn_id: str = "plane_online", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.online_conn_id = online_conn_id

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """See `online.syncing.sync`."""
        return run.sync(warehouse, self.online_conn_id, self.sql)


class BeginSync(ViewOperator):
    """Begin a sync whose shards are tasks; it needs no warehouse.

    Args:
        shards: the number of shards.
        online_conn_id: Airflow's connection to the online store.
        kwargs: the arguments of every step.
    """

    def __init__(self, *, shards: int, online_conn_id: str = "plane_online", **kwargs: Any) -> None:
        super().__init__(sql="", **kwargs)
        self.shards = shards
        self.online_conn_id = online_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """See `online.syncing.begin_sync`; warnings are logged."""
        run = self._run(context)
        start, warnings = run.begin_sync(self.online_conn_id, self.shards)
        for warning in warnings:
            self.log.warning("feature view %s: %s", run.program.view, warning)
        return start


class SyncShard(Sync):
    """Write one shard of the published values to the online store; a mapped task.

    Args:
        shard: the number of the shard, from 0.
        begun: the result of `BeginSync`.
        kwargs: the arguments of `Sync`.
    """

    template_fields: Sequence[str] = ("sql", "begun")

    def __init__(self, *, shard: int, begun: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self.begun = begun

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """See `online.syncing.write_shard`."""
        return run.write_shard(warehouse, self.online_conn_id, self.sql, self.begun, self.shard)


class Announce(ViewOperator):
    """Activate this version of the view when it is complete, and announce its online values.

    Args:
        online_conn_id: Airflow's connection to the online store; None if the view is not online.
        kwargs: the arguments of every step.
    """

    def __init__(self, *, online_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.online_conn_id = online_conn_id

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> bool:
        """See `materialize.tasks.activate`."""
        active = run.activate(warehouse, self.online_conn_id, self.sql)
        self._announce(run, context)
        return active


class EndSync(Announce):
    """End a sync whose shards were tasks, and announce it as `Announce` does.

    The shards can't announce it: a mapped task would do so once for each shard.

    Args:
        sync_sql: the shards' query, a file of the release: if the store has lost values, this task
            writes all of them again.
        begun: the result of `BeginSync`.
        reports: the result of each `SyncShard`.
        kwargs: the arguments of `Announce`.
    """

    template_fields: Sequence[str] = ("sql", "sync_sql", "begun", "reports")
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "sync_sql": "sql"}

    def __init__(
        self, *, online_conn_id: str, sync_sql: str, begun: Any, reports: Any, **kwargs: Any
    ) -> None:
        super().__init__(online_conn_id=online_conn_id, **kwargs)
        self.sync_sql = sync_sql
        self.begun = begun
        self.reports = reports

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> bool:
        """See `online.syncing.end_sync` and `materialize.tasks.activate`."""
        online_conn_id: Any = self.online_conn_id
        synced, lost = run.end_sync(
            warehouse, online_conn_id, self.sync_sql, self.begun, self.reports
        )
        if lost:
            self.log.warning("%s; all missing values were written again", lost)
        self.log.info("synced: %s", synced)
        return super().step(run, warehouse, context)


class RunView(_AfterDelay):
    """Do all steps of a view's run, one after the other, in one task with one connection.

    A retry goes on with the step that failed: the task keeps which steps are done. The staging
    table is dropped at the end, also after a failure, unless a retry will go on with it.

    Args:
        stage_sql: the statements of each step, a file of the release; as are the next five.
        sync_sql: None if the view is not online.
        online_conn_id: Airflow's connection to the online store; None if the view is not online.
        kwargs: the arguments of every operator.
    """

    template_fields: Sequence[str] = (
        "stage_sql",
        "check_sql",
        "publish_sql",
        "unstage_sql",
        "sync_sql",
        "activate_sql",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields, "sql")

    def __init__(
        self,
        *,
        stage_sql: str,
        check_sql: str,
        publish_sql: str,
        unstage_sql: str,
        activate_sql: str,
        sync_sql: str | None = None,
        online_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sql="", **kwargs)
        self.stage_sql = stage_sql
        self.check_sql = check_sql
        self.publish_sql = publish_sql
        self.unstage_sql = unstage_sql
        self.activate_sql = activate_sql
        self.sync_sql = sync_sql
        self.online_conn_id = online_conn_id

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """Do the steps that are not done yet; returns the result of each step by its name."""
        ti = context["ti"]
        keep_stage = ti.try_number <= ti.max_tries
        results: dict[str, Any] = {}
        try:
            self._steps(run, warehouse, context, results)
            keep_stage = False
        except PlaneError as error:
            keep_stage = keep_stage and isinstance(error, TransientError)
            raise
        finally:
            if not keep_stage:
                # First, because a try after this one must not look for the dropped stage.
                self._remember(context, [])
                run.unstage(warehouse, self.unstage_sql)
        self._announce(run, context)
        return results

    def _steps(
        self, run: Run, warehouse: Warehouse, context: Context, results: dict[str, Any]
    ) -> None:
        steps: dict[str, Callable[[], Any]] = {
            "stage": lambda: run.stage(warehouse, self.stage_sql),
            "check": lambda: self._check(run, warehouse, self.check_sql),
            "publish": lambda: run.publish(warehouse, self.publish_sql),
        }
        if self.online_conn_id is not None and self.sync_sql is not None:
            online, sync_sql = self.online_conn_id, self.sync_sql
            steps["sync"] = lambda: run.sync(warehouse, online, sync_sql)
        steps["activate"] = lambda: run.activate(warehouse, self.online_conn_id, self.activate_sql)
        done = self._done(context)
        for name, work in steps.items():
            if name in done:
                self.log.info("%s: done by an earlier try", name)
                continue
            began = time.monotonic()
            results[name] = work()
            seconds = time.monotonic() - began
            self.log.info("%s: %.2f s%s", name, seconds, _counts(results[name]))
            done.append(name)
            self._remember(context, done)

    def _done(self, context: Context) -> list[str]:
        progress: Any = context["task_state_store"].get(_PROGRESS)
        # A person who clears a task raises `max_tries`, and wants all of it again.
        if not progress or progress["max_tries"] != context["ti"].max_tries:
            return []
        return list(progress["done"])

    def _remember(self, context: Context, done: list[str]) -> None:
        progress: Any = {"max_tries": context["ti"].max_tries, "done": done}
        context["task_state_store"].set(_PROGRESS, progress)


def _counts(result: Any) -> str:
    """Return the numbers of a step's result for the log, without those that are 0."""
    if not isinstance(result, dict):
        return ""
    counts = [(name, value) for name, value in result.items() if value and type(value) is int]
    return "".join(f", {name} {value:,}" for name, value in counts if name != "version")
