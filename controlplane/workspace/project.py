"""The composition root: one environment of a project, with its settings and its open connections.

A model's process imports it to read, so it imports neither the compiler nor the SQL room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from controlplane.base import private
from controlplane.base.ports import AsyncOnlineStore, Calculator, OnlineStore, Warehouse
from controlplane.errors import Location, PlaneError, SettingsError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.serving import OnlineReader, ServiceLayout
from controlplane.serving.service import service_layout
from controlplane.state import Deployment, absent, glance
from controlplane.workspace import settings
from controlplane.workspace.connectors import (
    open_async_store,
    open_calculator,
    open_store,
    open_warehouse,
)

if TYPE_CHECKING:
    from controlplane.state.store import StateStore

_KNOWN_DEPLOYMENTS = 5
"""Deployments whose versions a reader knows: a rollback may serve one of them again."""
Embedded = Callable[[Path], Mapping[str, str]]
"""Starts a project's embedded online store if it does not run; returns the store's options."""


class Project:
    """One environment of one project, with connections that open when they are first used.

    Use it as a context manager, which closes them.
    """

    def __init__(
        self, directory: Path, environment: str | None = None, *, embedded: Embedded | None = None
    ) -> None:
        self.root = settings.find_root(directory)
        self.environment = settings.load(self.root, environment)
        self._embedded = embedded
        self._opened = ExitStack()
        self._other: Project | None = None
        self.folder = self.root / private.FOLDER
        self.narrowed = private.close(self.folder) if private.is_open(self.folder) else 0
        """The number of files in `.plane` that other users could read or write until now."""
        private.make(self.folder)

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, and take other users' rights on new files in `.plane` away."""
        self._opened.close()
        environment = self.environment
        files = (
            environment.warehouse.get("path", ""),
            environment.state.removeprefix("sqlite:///"),
        )
        folders = {self.folder}
        for folder in (*(Path(str(file)).parent for file in files), environment.airflow_home):
            folders.update(private.between(self.folder, folder))
        private.close_entries(folders)

    def close_releases(self) -> None:
        """Take other users' rights on the releases in `.plane` away."""
        # Not elsewhere, where the Airflow of another user may read them: there the umask decides.
        releases = self.environment.releases
        private.close_entries(private.between(self.folder, releases))
        if releases.is_relative_to(self.folder):
            private.close(releases)

    @contextmanager
    def beside(self, environment: str) -> Iterator[Project]:
        """Another environment of the project, which is cancelled with this one and closed at the
        end."""
        with Project(self.root, environment, embedded=self._embedded) as other:
            self._other = other
            yield other

    def cancel(self) -> None:
        """Stop the warehouse's running statements; safe to call from another thread."""
        # Not `self.warehouse`, which would open a connection that nobody uses yet.
        opened: Warehouse | None = vars(self).get("warehouse")
        if opened is not None:
            opened.cancel()
        if self._other is not None:
            self._other.cancel()

    @contextmanager
    def _blaming_settings(self) -> Iterator[None]:
        """Add plane.toml as the location of errors in options."""
        try:
            yield
        except SettingsError as error:
            error.where = error.where or Location(settings.FILE)
            raise

    def now(self) -> datetime:
        """Return the environment's fixed `now`, or else the wall clock."""
        return self.environment.now or self.clock()

    def clock(self) -> datetime:
        """Return the time of the wall clock."""
        return datetime.now(UTC)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The open warehouse."""
        with self._blaming_settings():
            warehouse = open_warehouse(self.environment.warehouse_kind, self.environment.warehouse)
        self._opened.callback(warehouse.close)
        if warehouse.dialect != self.environment.dialect:
            raise SettingsError(
                f"the project's SQL is {self.environment.dialect}, but environment"
                f" {self.environment.name!r} is on {warehouse.dialect}",
                where=Location(settings.FILE),
                hint=(
                    "set `dialect`, of [project] or of the environment alone, to the"
                    " warehouse's own"
                ),
            )
        return warehouse

    def online_config(self) -> Mapping[str, Any] | None:
        """Return the online store's options; None if the environment has no store.

        This starts an embedded store, whose URL and password are among them.
        """
        config = self.environment.online
        if config is None or not self.environment.embedded_online:
            return config
        if self._embedded is None:
            raise SettingsError(
                "the embedded online store can't be started here", hint="give `online` a url"
            )
        return {**config, **self._embedded(self.folder / "online")}

    @cached_property
    def store(self) -> OnlineStore | None:
        """The open online store; None if the environment has none."""
        config = self.online_config()
        if config is None:
            return None
        with self._blaming_settings():
            store = open_store(config)
        self._opened.callback(store.close)
        return store

    def online_store(self) -> OnlineStore:
        """Return the open online store.

        Raises:
            SettingsError: the environment has no online store.
        """
        if self.store is None:
            raise self._without_store()
        return self.store

    def _without_store(self) -> SettingsError:
        name = self.environment.name
        return SettingsError(
            f"environment {name!r} has no online store", hint="give it `online` in plane.toml"
        )

    def store_or_problem(self) -> tuple[OnlineStore | None, str]:
        """Return the open online store, or why it can't be opened.

        It is for commands that are useful without the store, too.

        Raises:
            SettingsError: its settings are wrong.
        """
        try:
            return self.store, ""
        except SettingsError:
            raise
        except PlaneError as error:  # for example, the embedded server's program is missing
            return None, f"the online store can't be opened: {error.message}"

    def async_store(self) -> AsyncOnlineStore:
        """Open the online store for reads from the running event loop; the caller closes it.

        Raises:
            SettingsError: the environment has no online store.
        """
        config = self.online_config()
        if config is None:
            raise self._without_store()
        with self._blaming_settings():
            return open_async_store(config)

    def calculator(self, layout: ServiceLayout) -> Calculator | None:
        """What computes a service's calculations over rows in memory, if it has some.

        It is closed with the project.
        """
        if layout.calculations is None:
            return None
        calculator = open_calculator(layout.calculations.query, layout.calculations.functions)
        self._opened.callback(calculator.close)
        return calculator

    @cached_property
    def state(self) -> StateStore:
        """The record of deployments."""
        # lazy: sqlalchemy takes longer to import than everything else that most commands need
        from controlplane.state.store import StateStore

        with self._blaming_settings():
            state = StateStore(self.environment.state, self.environment.project)
        self._opened.callback(state.close)
        return state

    def deployments(self, limit: int) -> list[Deployment]:
        """Return at most `limit` deployments, the newest first."""
        environment = self.environment
        # Fast, since it needs no sqlalchemy. Its list is also empty if it can't read the record, as
        # in PostgreSQL.
        deployments = glance(environment.state, environment.project, environment.name, limit)
        return (
            deployments
            if deployments or absent(environment.state)
            else self.state.history(environment.name, limit)
        )

    def deployed(self) -> Deployment | None:
        """Return the current deployment; None before the first."""
        return next(iter(self.deployments(1)), None)

    def current(self) -> tuple[Deployment, Manifest]:
        """Return the current deployment and its manifest.

        Raises:
            PlaneError: nothing is deployed.
        """
        deployment = self.deployed()
        if deployment is None:
            name = self.environment.name
            raise PlaneError(
                f"nothing is deployed to environment {name!r}", hint="run `plane deploy` first"
            )
        return deployment, manifests.from_json(deployment.manifest)

    def versions(self) -> Iterator[tuple[int, Manifest, ViewSpec]]:
        """Every version of every view that was ever deployed here, with the number and the manifest
        of the newest deployment that has it; those of the current deployment first."""
        seen: set[tuple[str, str]] = set()
        before = None
        while page := self.state.history(self.environment.name, before=before):
            for deployment in page:
                manifest = manifests.from_json(deployment.manifest)
                for view in manifest.views:
                    if (view.name, view.fingerprint) not in seen:
                        seen.add((view.name, view.fingerprint))
                        yield deployment.id, manifest, view
            before = page[-1].id

    def layout(self, service: str) -> ServiceLayout:
        """How a deployed feature service lies in the online store.

        Raises:
            PlaneError: nothing is deployed, there is no such service, or a view of it is not kept
                online.
        """
        deployments = self.deployments(_KNOWN_DEPLOYMENTS) or [self.current()[0]]
        current, *earlier = (manifests.from_json(deployment.manifest) for deployment in deployments)
        return service_layout(current, service, earlier)

    def reader(self, service: str) -> OnlineReader:
        """Return a reader of one feature service; this opens only the online store.

        Raises:
            PlaneError: there is no such service, or the environment has no online store.
        """
        layout = self.layout(service)
        return OnlineReader(
            self.online_store(), layout, self.now, calculator=self.calculator(layout)
        )
