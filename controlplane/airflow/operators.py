"""The tasks of a view's DAG: operators over `controlplane.materialize.tasks`.

A DAG file imports this at every parse, so this must not import anything heavy: see `work`. Each
task's SQL is a template field. Its variables (`plane.start`, `plane.stage`, ...) get their values
from the DAG run, so that Airflow shows exactly the statements that ran.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from controlplane.errors import PermanentError, TransientError

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from controlplane.airflow.work import Run
    from controlplane.base.ports import Warehouse

_STOP_AGAIN = 0.5  # seconds


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

    def _announce(self, run: Run, context: Context) -> None:
        """Add every partition that the run covered to the events of the step's assets."""
        keys = run.announced()
        for asset in self.outlets:
            if keys:
                context["outlet_events"][asset].add_partitions(keys)


class Stage(ViewOperator):
    """Compute the interval's rows into a staging table, after the settling delay."""

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

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> None:
        """See `materialize.tasks.stage`."""
        run.stage(warehouse, self.sql)


class Check(ViewOperator):
    """Check the staged rows; if they fail, nothing is published."""

    def step(self, run: Run, warehouse: Warehouse, context: Context) -> dict[str, Any]:
        """See `materialize.tasks.check`; warnings are logged."""
        checked, warnings = run.check(warehouse, self.sql)
        for warning in warnings:
            self.log.warning("feature view %s: %s", run.program.view, warning)
        return checked


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
