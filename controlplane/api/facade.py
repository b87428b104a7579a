"""`ControlPlane`: plan, deploy, run, read and verify a project, and create training sets.

Each method calls the module of its use case. The command line calls these modules directly, since
an import of `ControlPlane` imports all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from controlplane import verify as verifying
from controlplane.api import (
    dataset,
    deploy,
    doctor,
    forget,
    load,
    plan,
    read,
    rollback,
    run,
    schema,
    status,
    stop,
    verify,
)
from controlplane.api.airflow import EmbeddedAirflow
from controlplane.api.dataset import TrainingSet
from controlplane.api.exploring import Exploring
from controlplane.api.online.facade import Online
from controlplane.base.progress import Progress
from controlplane.base.types import Interval
from controlplane.embedded import valkey
from controlplane.manifest.specs import Manifest
from controlplane.materialize.run import ViewRun
from controlplane.monitor.doctor.findings import Finding
from controlplane.monitor.status import ViewStatus
from controlplane.plan.plan import Plan
from controlplane.serving import FeatureVector, OnlineReader, ServiceLayout, contracts
from controlplane.state import Deployment
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


class ControlPlane(Exploring):
    """One environment of one project; `Exploring` has its methods that only look.

    Args:
        directory: the project's folder, or one inside it.
        environment: the environment's name (default: PLANE_ENV; else `local`; else the only one).

    Use it as a context manager: connections are opened at their first use and closed at the end.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self.project = Project(Path(directory), environment, embedded=valkey.options)
        self.online = Online(self.project)
        self.airflow = EmbeddedAirflow(self.project)

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.project.close()

    @property
    def name(self) -> str:
        """Return the environment's name."""
        return self.project.environment.name

    def deployed(self) -> tuple[Deployment, Manifest]:
        """Return the current deployment and its manifest.

        Raises:
            PlaneError: nothing is deployed.
        """
        return self.project.current()

    def plan(self) -> Plan:
        """Return what a deploy would change, and which intervals would then be computed."""
        return plan.plan(self.project, compile_project(self.project)).plan

    def deploy(
        self,
        on_step: Callable[[str], None] = lambda _: None,
        *,
        approve: Callable[[Plan], bool] = lambda _: True,
        adopt: bool = False,
    ) -> tuple[Plan, Deployment | None]:
        """Plan, and apply the plan; return the plan and the new deployment.

        The deployment is None if the plan is empty or only repairs.

        Args:
            on_step: called with the name of each step before the step begins.
            approve: called with the plan; a plan that it does not approve is not deployed.
            adopt: take the schema over from another environment, project or state database.

        Raises:
            PlaneError: the plan was not approved, or a step failed.
        """
        planned = plan.plan(self.project, compile_project(self.project), adopt=adopt)
        return deploy.deploy(self.project, planned, on_step, approve)

    def rollback(
        self,
        number: int | None = None,
        on_step: Callable[[str], None] = lambda _: None,
        *,
        approve: Callable[[Plan], bool] = lambda _: True,
    ) -> tuple[Plan, Deployment | None]:
        """Deploy an earlier deployment again.

        Its versions are read and served immediately, with the intervals that were computed then;
        later runs compute the missing intervals. The definition files do not change.

        Args:
            number: number of the earlier deployment (default: the previous one).
            on_step: called with the name of each step before the step begins.
            approve: called with the plan; a plan that it does not approve is not deployed.

        Raises:
            PlaneError: there is no such deployment, or the plan was not approved.
        """
        return rollback.rollback(self.project, number, on_step, approve)

    def run(
        self,
        views: Sequence[str] = (),
        *,
        within: Interval | None = None,
        recompute: bool = False,
        resync: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> list[ViewRun]:
        """Compute all due intervals that are missing, then sync changed values online.

        Args:
            views: names of feature views (default: all).
            within: compute only intervals that are completely inside this range.
            recompute: compute intervals again that are already computed.
            resync: write all keys to the online store, not only changed keys.
            on_progress: called before each step.

        Raises:
            Problems: views that failed, or tables that are missing since the deploy; the other
                views were still computed.
        """
        return run.run(
            self.project,
            views,
            within=within,
            recompute=recompute,
            resync=resync,
            on_progress=on_progress,
        )

    def status(self) -> list[ViewStatus]:
        """Return how fresh every deployed view is, even if the online store can't be opened."""
        return status.status(self.project)

    def verify(
        self,
        views: Sequence[str] = (),
        *,
        cases: int = 200,
        seed: int | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> verifying.Report:
        """Compare tables, training sets and online values with the raw rows.

        See `verify.verify`.
        """
        return verify.verify(self.project, views, cases=cases, seed=seed, on_progress=on_progress)

    def verify_against(
        self,
        environment: str,
        views: Sequence[str] = (),
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> verifying.Comparison:
        """Compare the tables with those of another environment of the project, row by row.

        See `verify.compare`.

        Args:
            environment: name of the other environment, as in plane.toml.
            views: names of feature views (default: all of both environments).
            on_progress: called with the number of compared rows.

        Raises:
            PlaneError: there is no such other environment, or it can't be read.
        """
        return verify.verify_against(self.project, environment, views, on_progress=on_progress)

    def cancel(self) -> None:
        """Cancel the statements that run in the warehouse; safe to call from another thread."""
        self.project.cancel()

    def reader(self, service: str) -> OnlineReader:
        """See `Project.reader`."""
        return self.project.reader(service)

    def layout(self, service: str) -> ServiceLayout:
        """See `Project.layout`."""
        return self.project.layout(service)

    def get(
        self, service: str, keys: Mapping[str, Any], request: Mapping[str, Any] | None = None
    ) -> FeatureVector:
        """Return the online features of one entity: `get("late_arrival", {"origin": "JFK"})`."""
        return self.reader(service).get(keys, request)

    def get_text(
        self, service: str, keys: Mapping[str, str], request: Mapping[str, str]
    ) -> FeatureVector:
        """Return the online features of one entity, with keys and request fields as text."""
        return read.get_text(self.project, service, keys, request)

    def forget(
        self,
        keys: Mapping[str, str],
        *,
        dry_run: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> forget.Erasure:
        """Erase an entity from feature tables, training sets and the online store.

        See `api.forget`.
        """
        return forget.forget(self.project, keys, dry_run=dry_run, on_step=on_step)

    def schema(self, service: str) -> contracts.Contract:
        """Return the request and response schema of a deployed service.

        `serving.contracts.formats.text` converts it to JSON Schema, Arrow, proto or Python.
        """
        return schema.schema(self.project, service)

    def stop_servers(self) -> list[str]:
        """Stop the project's embedded servers; return the names of those that ran."""
        return stop.stop_servers(self.project)

    def create_dataset(
        self,
        name: str,
        *,
        service: str,
        spine: Any,  # noqa: ANN401 - a text, or a DataFrame of any library
        time: str,
        allow_gaps: bool = False,
        as_of: str = "scheduled",
        from_source: bool = False,
    ) -> TrainingSet:
        """Create the next version of a training set in the warehouse.

        With `from_source`, the features are those of the definition files; otherwise those of the
        current deployment. See `training.datasets.create` for the arguments.

        Example: `plane.create_dataset("late", service="late_arrival", spine="raw.spine",
        time="predict_at").to_pandas()`.
        """
        return dataset.create(
            self.project,
            name,
            service=service,
            spine=spine,
            time=time,
            allow_gaps=allow_gaps,
            as_of=as_of,
            from_source=from_source,
        )

    def drop_dataset(self, name: str, version: int | None = None) -> list[TrainingSet]:
        """Drop the tables of all versions of a training set, or of one; return what was dropped.

        The record of how it was made stays, and no later version gets its number.

        Raises:
            PlaneError: there is none.
        """
        dropped = dataset.versions(self.project, name, version)
        for training_set in dropped:
            dataset.drop(self.project, training_set)
        return dropped

    def load(self, file: str | Path, table: str, *, replace: bool = False) -> load.Loaded:
        """Load a Parquet, CSV or JSON file into a new table of the embedded warehouse.

        Args:
            file: ends in `.parquet`, `.csv`, `.json`, `.ndjson` or `.jsonl`.
            table: `schema.table`; a missing schema is created.
            replace: replace the table if it exists.

        Raises:
            PlaneError: the warehouse is not the embedded one, the file can't be read, or the table
                exists.
        """
        return load.load(self.project, file, table, replace=replace)

    def doctor(self) -> list[Finding]:
        """Run all checks of the project."""
        return doctor.findings(self.project)
