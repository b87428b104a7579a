"""What people and programs do with a project: plan, deploy, run, read, make training sets.

Each method is a use case of its own module. The command line calls those modules themselves, so
only a process that holds a `ControlPlane` imports all of them.
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
from controlplane.training import datasets
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


class ControlPlane:
    """One environment of one project.

    Args:
        directory: the project's folder, or one inside it.
        environment: its name; PLANE_ENV unless given, else `local`, else the only one.

    Use it as a context manager: connections open when they are first needed and are closed at the
    end.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self.project = Project(Path(directory), environment, embedded=valkey.options)
        self.online = Online(self.project)
        self.airflow = EmbeddedAirflow(self.project)

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        self.project.close()

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.project.environment.name

    def deployed(self) -> tuple[Deployment, Manifest]:
        """The current deployment and its manifest.

        Raises:
            PlaneError: nothing is deployed.
        """
        return self.project.current()

    def plan(self) -> Plan:
        """What a deploy would change, and what would then be computed."""
        return plan.plan(self.project, compile_project(self.project)).plan

    def deploy(
        self,
        on_step: Callable[[str], None] = lambda _: None,
        *,
        approve: Callable[[Plan], bool] = lambda _: True,
        adopt: bool = False,
    ) -> tuple[Plan, Deployment | None]:
        """Plan, and make the plan true; an empty plan deploys nothing.

        Returns the plan, and the new deployment.

        Args:
            on_step: told each step before it begins.
            approve: shown the plan; what it does not approve is not deployed.
            adopt: take the schema over from another environment, project or state database.

        Raises:
            PlaneError: the plan was not approved, or can't be made true.
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
        """Deploy once more what was deployed earlier, and show and serve its versions at once, as
        far as they were computed; later runs compute what they lack. The definition files stay as
        they are.

        Args:
            number: of the earlier deployment; the one before the current unless given.
            on_step: told each step before it begins.
            approve: shown the plan; what it does not approve is not deployed.

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
        """Compute every due interval that the ledger lacks, then sync what changed to the online
        store.

        Args:
            views: names of feature views; all unless given.
            within: only whole intervals inside this stretch.
            recompute: also those that the ledger has.
            resync: write every key online, not only those that changed.
            on_progress: told before each step.

        Raises:
            Problems: what failed, or went missing since the deploy; the other views were still
                computed.
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
        """How fresh every deployed view is, also where the online store can't be opened."""
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
            environment: the name of the other one, as in plane.toml.
            views: names of feature views; all of both unless given.
            on_progress: told how far it is, in rows.

        Raises:
            PlaneError: there is no other environment of that name, or it can't be read.
        """
        return verify.verify_against(self.project, environment, views, on_progress=on_progress)

    def cancel(self) -> None:
        """Stop what the warehouses do now; safe to call from another thread."""
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
        """The online features of one entity: `get("late_arrival", {"origin": "JFK"})`."""
        return self.reader(service).get(keys, request)

    def get_text(
        self, service: str, keys: Mapping[str, str], request: Mapping[str, str]
    ) -> FeatureVector:
        """The same with keys and request fields as text, as a command line gives them."""
        return read.get_text(self.project, service, keys, request)

    def forget(
        self,
        keys: Mapping[str, str],
        *,
        dry_run: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> forget.Erasure:
        """Erase an entity from all tables that are made here and from the online store.

        See `api.forget`.
        """
        return forget.forget(self.project, keys, dry_run=dry_run, on_step=on_step)

    def schema(self, service: str) -> contracts.Contract:
        """What a deployed service takes and gives.

        `serving.contracts.formats.text` tells it in other languages.
        """
        return schema.schema(self.project, service)

    def stop_servers(self) -> list[str]:
        """Stop the project's servers on this machine; returns those that ran."""
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
    ) -> datasets.Created:
        """Create the next version of a training set in the warehouse.

        See `training.datasets.create`.

        From sources, the definitions are those of the files; otherwise what is deployed.
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

    def datasets(self) -> list[datasets.Created]:
        """All training sets, oldest first."""
        return datasets.existing(self.project.warehouse)

    def doctor(self) -> list[Finding]:
        """Check everything that the project stands on."""
        return doctor.findings(self.project)
