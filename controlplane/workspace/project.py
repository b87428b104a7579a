"""The composition root: settings and entry points become open connections and a compiled project.

The only door to connectors: they are found by the entry point `controlplane.connectors` and loaded
when asked for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from controlplane.base import private
from controlplane.base.ports import AsyncOnlineStore, Calculator, OnlineStore, Warehouse
from controlplane.compile.loader import load
from controlplane.compile.project import Target, compile_manifest
from controlplane.errors import (
    DefinitionError,
    Location,
    MissingDriver,
    PermanentError,
    PlaneError,
    Problems,
    SettingsError,
)
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql.calculations import functions, in_memory
from controlplane.sql.dialects import DUCKDB
from controlplane.state import Deployment, absent, glance
from controlplane.workspace import settings

if TYPE_CHECKING:
    from controlplane.serving.layout import ServiceLayout
    from controlplane.state.store import StateStore

_TYPES = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What msgspec calls types -> what people who write TOML call them."""

Embedded = Callable[[Path], Mapping[str, str]]
"""Starts the embedded online store of a project, unless it runs, and returns its URL and password
as options."""


def connector(kind: str, group: str = "controlplane.connectors") -> Callable[..., Any]:
    """The `connect` function of a connector.

    Raises:
        SettingsError: no installed package offers such a connector.
        MissingDriver: its driver is not installed; the hint names the extra.
        SettingsError: its driver can't be loaded in this environment.
    """
    found = _connectors(group)
    if kind not in found:
        raise SettingsError(
            f"there is no connector {kind!r}", hint=f"choose from: {', '.join(sorted(found))}"
        )
    try:
        loaded: Callable[..., Any] = found[kind].load()
    except ImportError as error:
        hint = f"pip install 'controlplane[{kind}]'"
        raise MissingDriver(f"the driver of {kind} is not installed: {error}", hint=hint) from None
    except RuntimeError as error:  # Snowflake's driver looks for its user's home as it is imported
        text = f"the driver of {kind} can't be loaded: {error}"
        raise SettingsError(text, hint="set HOME to a folder of this user") from None
    return loaded


@cache
def _connectors(group: str) -> Mapping[str, EntryPoint]:
    """The connectors of all installed packages by name; to look through these takes 30 ms."""
    return {point.name: point for point in entry_points(group=group)}


def option_names(kind: str) -> Sequence[str]:
    """The names of a connector's options.

    Raises:
        PlaneError: the connector or its driver is missing.
    """
    return list(inspect.signature(connector(kind)).parameters)


def open_warehouse(kind: str, config: Mapping[str, object]) -> Warehouse:
    """Open a warehouse with a connector's own options.

    Raises:
        PlaneError: the connector is missing, an option is unknown, or the connection fails.
    """
    warehouse: Warehouse = _called(kind, config)
    return warehouse


def open_store(config: Mapping[str, object]) -> OnlineStore:
    """Open an online store; `kind` in its options is `redis` unless given.

    Raises:
        PlaneError: the connector is missing, an option is unknown, or the connection fails.
    """
    options = dict(config)
    store: OnlineStore = _called(str(options.pop("kind", "redis")), options)
    return store


def open_async_store(config: Mapping[str, object]) -> AsyncOnlineStore:
    """Open an online store for reads from the running event loop, with the options of `open_store`.

    Raises:
        PlaneError: the connector is missing or can't be read from an event loop, or an option is
            wrong.
    """
    kind = str(config.get("kind", "redis"))
    connect = connector(kind, "controlplane.async_connectors")
    options = {
        name: value
        for name, value in config.items()
        if name in inspect.signature(connect).parameters
    }
    store: AsyncOnlineStore = connect(**_typed(connect, kind, options))
    return store


def _called(kind: str, options: Mapping[str, object]) -> Any:  # noqa: ANN401 - what it is, the caller knows
    connect = connector(kind)
    try:
        inspect.signature(connect).bind(**options)
    except TypeError as error:
        hint = f"its options are: {', '.join(inspect.signature(connect).parameters)}"
        # So called from Python 3.12 on.
        text = str(error).replace("keyword-only argument", "argument")
        raise SettingsError(f"connector {kind!r}: {text}", hint=hint) from None
    return connect(**_typed(connect, kind, options))


def _typed(connect: Callable[..., Any], kind: str, options: Mapping[str, object]) -> dict[str, Any]:
    """The options as the types that `connect` declares; a number may be a text, as variables are.

    Raises:
        SettingsError: an option has another type. Its value is not repeated: it may be a secret.
    """
    try:
        types = get_type_hints(connect)
    except NameError:  # a connector of another package, whose types are imported for checkers alone
        return dict(options)
    typed = {}
    for name, value in options.items():
        try:
            typed[name] = msgspec.convert(value, types.get(name, Any), strict=False)
        except msgspec.ValidationError as error:
            text = str(error).replace("`", "").replace(" | null", "")
            text, _, where = text.partition(" - at ")
            for word, plain in _TYPES.items():
                text = re.sub(rf"\b{word}\b", plain, text)
            element = where.removeprefix("$").replace("[...]", "")
            raise SettingsError(
                f"connector {kind!r}: option `{name}{element}`: {text[:1].lower()}{text[1:]}",
                hint="correct its value",
            ) from None
    return typed


def open_calculator(query: str, functions: Sequence[str] = ()) -> Calculator:
    """Get a query ready that computes over rows in memory, and the functions that it calls.

    Raises:
        PlaneError: it can't be computed in this process.
    """
    calculator: Calculator = connector("calculator")(query=query, functions=functions)
    return calculator


def check_calculations(manifest: Manifest) -> None:
    """Check that readers can compute every calculation in their own process.

    Raises:
        Problems: for each service, what can't be computed.
    """
    found: list[PlaneError] = []
    for service in manifest.services:
        if service.calculations:
            try:
                made = [statement.sql for statement in functions(DUCKDB, manifest, service)]
                open_calculator(in_memory(manifest, service)[1], made).close()
            except PermanentError as error:
                text = f"feature service {service.name!r} can't be read online: {error.message}"
                hint = (
                    "use functions of the warehouse itself; those that users defined in it are not"
                    " there"
                )
                found.append(DefinitionError(text, where=service.location, hint=hint))
    if found:
        raise Problems(found)


class Project:
    """One environment of one project, with connections that open when they are first used.

    Use it as a context manager: what was opened is closed.
    """

    def __init__(
        self, directory: Path, environment: str | None = None, *, embedded: Embedded | None = None
    ) -> None:
        self.root = settings.find_root(directory)
        self.environment = settings.load(self.root, environment)
        self._embedded = embedded
        self._opened = ExitStack()
        self.folder = self.root / private.FOLDER
        self.narrowed = private.close(self.folder) if private.is_open(self.folder) else 0
        """Files and folders in `.plane` that other users of the machine had rights on until now."""
        private.make(self.folder)

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened; what it left in `.plane` is its owner's alone."""
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
        """Take the rights of other users away from releases in `.plane`.

        Releases elsewhere may be read by the Airflow of another user: there the mask of the shell
        decides.
        """
        releases = self.environment.releases
        private.close_entries(private.between(self.folder, releases))
        if releases.is_relative_to(self.folder):
            private.close(releases)

    def cancel(self) -> None:
        """Stop what the warehouse does now, if it was opened; safe to call from another thread."""
        opened: Warehouse | None = vars(self).get("warehouse")
        if opened is not None:
            opened.cancel()

    @contextmanager
    def _blaming_settings(self) -> Iterator[None]:
        """What is wrong with an option is wrong in plane.toml."""
        try:
            yield
        except SettingsError as error:
            error.where = error.where or Location(settings.FILE)
            raise

    def now(self) -> datetime:
        """The environment's now: the wall clock, or the instant at which its time stands still."""
        return self.environment.now or self.clock()

    def clock(self) -> datetime:
        """The wall clock."""
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
        """The online store's settings, with URL and password of the embedded one; None where there
        is no store."""
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
        """The open online store; None where the environment has none."""
        config = self.online_config()
        if config is None:
            return None
        with self._blaming_settings():
            store = open_store(config)
        self._opened.callback(store.close)
        return store

    def store_or_problem(self) -> tuple[OnlineStore | None, str]:
        """The open online store, or why it can't be opened, for what is worth showing without it.

        Raises:
            SettingsError: its settings are wrong.
        """
        try:
            return self.store, ""
        except SettingsError:
            raise
        except PlaneError as error:  # the program of the embedded server is missing, for one
            return None, f"the online store can't be looked at: {error.message}"

    def async_store(self) -> AsyncOnlineStore:
        """The online store for reads from the running event loop; whoever asks closes it.

        Raises:
            SettingsError: the environment has none.
        """
        config = self.online_config()
        if config is None:
            name = self.environment.name
            raise SettingsError(
                f"environment {name!r} has no online store", hint="give it `online` in plane.toml"
            )
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
        """The record of what was deployed."""
        # lazy: sqlalchemy takes longer to import than all else that most commands need
        from controlplane.state.store import StateStore

        with self._blaming_settings():
            state = StateStore(self.environment.state, self.environment.project)
        self._opened.callback(state.close)
        return state

    def deployed(self) -> Deployment | None:
        """The current deployment; None before the first."""
        environment = self.environment
        found = glance(environment.state, environment.project, environment.name)
        return found if found or absent(environment.state) else self.state.current(environment.name)

    def current(self) -> tuple[Deployment, Manifest]:
        """The current deployment and its manifest.

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

    def compile(self) -> Manifest:
        """Load and check every definition against the warehouse.

        Raises:
            Problems: all that is wrong.
        """
        target = Target(
            project=self.environment.project,
            environment=self.environment.name,
            dialect=self.environment.dialect,
            schema=self.environment.schema,
            now=self.environment.now,
            root=self.root,
            reader_role=self.environment.reader_role,
        )
        definitions, problems = load(self.root, self.environment.definitions)
        manifest = compile_manifest(definitions, target, self.warehouse, problems)
        check_calculations(manifest)
        return manifest
