"""What people and the command line do with a project: plan, deploy, run, read, make training sets.

Everything is composed here from the rooms below; nothing is decided and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from controlplane import verify as verifying
from controlplane.api import doctor as checkup
from controlplane.api import forget as erasing
from controlplane.api.airflow import EmbeddedAirflow
from controlplane.api.changes import Changes
from controlplane.api.online import Online
from controlplane.base.progress import Progress
from controlplane.base.types import Interval
from controlplane.codec import Field, Layout, parse_key_text
from controlplane.control import ledger, owners
from controlplane.deploy import executor as deploying
from controlplane.embedded import valkey
from controlplane.errors import PlaneError, Problems
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.materialize.run import ViewRun, bring_online, check_range, materialize, missing
from controlplane.monitor.doctor.findings import Finding
from controlplane.monitor.status import ViewStatus, status
from controlplane.plan.plan import Plan
from controlplane.release.program import build
from controlplane.serving import FeatureVector, OnlineReader, ServiceLayout, contracts
from controlplane.serving.service import service_layout
from controlplane.sql.views import render_view
from controlplane.state import Deployment
from controlplane.training import datasets
from controlplane.workspace.project import Project, open_calculator

_KNOWN_DEPLOYMENTS = 5


class ControlPlane:
    """One environment of one project.

    Args:
        directory: the project's folder, or one inside it.
        environment: its name; PLANE_ENV unless given, else `local`, else the only one.

    Use it as a context manager: connections open when they are first needed and are closed at the
    end.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self.project = Project(
            Path(directory), environment, embedded=lambda folder: valkey.start(folder).options
        )
        self.online = Online(self.project)
        self.changes = Changes(self.project, self.online)
        self.airflow = EmbeddedAirflow(self.project)
        self._beside: ControlPlane | None = None

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
        return self.changes.plan(self.project.compile()).plan

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
        planned = self.changes.plan(self.project.compile())
        return self.changes.deploy(planned, on_step, approve, adopt=adopt)

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
        earlier = deploying.earlier(self.project.state, self.name, number)
        then = msgspec.structs.replace(
            manifests.from_json(earlier.manifest), now=self.project.environment.now
        )
        planned = self.changes.plan(then)

        def serve() -> None:
            on_step("online values")
            self.online.serve(then)

        return self.changes.deploy(planned, on_step, approve, at_once=serve)

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
        project = self.project
        manifest = self.deployed()[1]
        chosen = [manifest.view(name) for name in views] or list(manifest.views)
        if within is not None:
            check_range([build(manifest, view) for view in chosen], within, project.now())
        found: list[ViewRun] = []
        with project.state.lock(
            f"{self.name}/run", holder=deploying.holder(), purpose="run", now=project.clock
        ):
            owners.check(project.warehouse, manifest.schema, manifest.project, manifest.environment)
            entries = ledger.entries(project.warehouse)
            failed, problems = self.changes.lost(manifest, chosen, entries)
            for view in chosen:
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
                    found.append(self._run_view(manifest, view, pieces, resync, on_progress))
                except PlaneError as error:
                    failed.add(view.name)
                    if str(error) not in map(str, problems):
                        problems.append(error)
        if problems:
            raise problems[0] if len(problems) == 1 else Problems(problems)
        return found

    def _run_view(
        self,
        manifest: Manifest,
        view: ViewSpec,
        pieces: Sequence[Interval],
        resync: bool,
        on_progress: Callable[[Progress], None],
    ) -> ViewRun:
        project = self.project
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

    def status(self) -> list[ViewStatus]:
        """How fresh every deployed view is, also where the online store can't be opened."""
        project = self.project
        deployment, manifest = self.deployed()
        conflict, _ = self.changes.conflict(manifest, deployment, manifest)
        store, problem = project.store_or_problem()
        return status(
            manifest,
            project.warehouse,
            store,
            project.now(),
            online_problem=problem,
            conflict=conflict,
        )

    def verify(
        self,
        views: Sequence[str] = (),
        *,
        cases: int = 200,
        seed: int | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> verifying.Report:
        """Compare tables, training sets and online values with the raw rows.

        See `verifying.verify`.
        """
        return verifying.verify(
            self.deployed()[1],
            self.project.warehouse,
            lambda: self.project.store,
            open_calculator,
            now=self.project.now,
            views=views,
            cases=cases,
            seed=seed,
            on_progress=on_progress,
        )

    def verify_against(
        self,
        environment: str,
        views: Sequence[str] = (),
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> verifying.Comparison:
        """Compare the tables with those of another environment of the project, row by row.

        See `verifying.compare`.

        Args:
            environment: the name of the other one, as in plane.toml.
            views: names of feature views; all of both unless given.
            on_progress: told how far it is, in rows.

        Raises:
            PlaneError: there is no other environment of that name, or it can't be read.
        """
        if environment == self.name:
            text = f"environment {environment!r} can't be compared with itself"
            raise PlaneError(
                text,
                hint="name another one of plane.toml, or choose this one's opposite with --env",
            )
        with ControlPlane(self.project.root, environment) as other:
            self._beside = other
            ours, theirs = (
                verifying.Side(p.name, p.deployed()[1], p.project.warehouse) for p in (self, other)
            )
            return verifying.compare(ours, theirs, views, on_progress=on_progress)

    def cancel(self) -> None:
        """Stop what the warehouses do now; safe to call from another thread."""
        for one in (self, self._beside):
            if one is not None:
                one.project.cancel()

    def reader(self, service: str) -> OnlineReader:
        """A reader of one feature service, which opens the online store and nothing else.

        Raises:
            PlaneError: there is no such service, or the environment has no online store.
        """
        layout = self.layout(service)
        calculator = self.project.calculator(layout)
        return OnlineReader(
            self.online.store(), layout, clock=self.project.now, calculator=calculator
        )

    def layout(self, service: str) -> ServiceLayout:
        """How a deployed feature service lies in the online store."""
        current, *earlier = self.project.state.history(self.name, limit=_KNOWN_DEPLOYMENTS) or [
            self.deployed()[0]
        ]
        return service_layout(
            manifests.from_json(current.manifest),
            service,
            [manifests.from_json(d.manifest) for d in earlier],
        )

    def get(
        self, service: str, keys: Mapping[str, Any], request: Mapping[str, Any] | None = None
    ) -> FeatureVector:
        """The online features of one entity: `get("late_arrival", {"origin": "JFK"})`."""
        return self.reader(service).get(keys, request)

    def get_text(
        self, service: str, keys: Mapping[str, str], request: Mapping[str, str]
    ) -> FeatureVector:
        """The same with keys and request fields as text, as a command line gives them."""
        kinds = {
            name: kind
            for view in reversed(self.layout(service).views)
            for name, kind in view.layout.keys
        }
        typed = parse_key_text(
            Layout(keys=tuple(kinds.items()), fields=(Field("any", "bool"),)), keys
        )
        reader = self.reader(service)
        return reader.get(typed, reader.request.parsed(request))

    def forget(
        self,
        keys: Mapping[str, str],
        *,
        dry_run: bool = False,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> erasing.Erasure:
        """Erase an entity from all tables that are made here and from the online store.

        See `api.forget`.
        """
        project = self.project
        project.current()
        known = ((manifest, view) for _, manifest, view in project.versions())
        with project.state.lock(
            f"{self.name}/run", holder=deploying.holder(), purpose="forget", now=project.clock
        ):
            return erasing.forget(
                known,
                project.warehouse,
                project.store,
                keys,
                clock=project.clock,
                dry_run=dry_run,
                on_step=on_step,
            )

    def schema(self, service: str) -> contracts.Contract:
        """What a deployed service takes and gives; `contracts.text` tells it in other languages."""
        return contracts.contract(self.deployed()[1], service)

    def stop_servers(self) -> list[str]:
        """Stop the project's servers on this machine; returns those that ran."""
        ran = {"Airflow": self.airflow.down(), "Redis": valkey.stop(self.project.folder / "online")}
        return [name for name, running in ran.items() if running]

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
        return datasets.create(
            self.project.compile() if from_source else self.deployed()[1],
            self.project.warehouse,
            name=name,
            service=service,
            spine=spine,
            time=time,
            created_by=deploying.user_name(),
            allow_gaps=allow_gaps,
            as_of=as_of,
            from_source=from_source,
            now=self.project.now(),
        )

    def datasets(self) -> list[datasets.Created]:
        """All training sets, oldest first."""
        return datasets.existing(self.project.warehouse)

    def doctor(self) -> list[Finding]:
        """Check everything that the project stands on."""
        return checkup.findings(self.project, self.changes.conflict)
