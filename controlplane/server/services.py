"""The feature services of the newest deployment, refreshed every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from controlplane.base.ports import AsyncOnlineStore
from controlplane.embedded import valkey
from controlplane.errors import PlaneError, TransientError
from controlplane.manifest.specs import ServiceSpec
from controlplane.online import records
from controlplane.server.inputs import Inputs
from controlplane.server.logs import say
from controlplane.serving import ServiceReader
from controlplane.workspace.project import Project


class Served:
    """One feature service, ready to be read."""

    def __init__(self, spec: ServiceSpec, reader: ServiceReader) -> None:
        self.name, self.description, self.reader = spec.name, spec.description, reader
        self.types = reader.types
        self.inputs = Inputs(reader)

    def serve(self, pointers: Mapping[str, str]) -> None:
        """Read the versions in the store's pointers (view -> fingerprint) from now on."""
        before = self.reader.versions
        self.reader.serve(pointers)
        if (after := self.reader.versions) != before:
            self.inputs = Inputs(self.reader)
            changed = {view: version for view, version in after.items() if before[view] != version}
            say("versions_served", service=self.name, versions=changed)


class Services:
    """All feature services of an environment that can be read online, and their store.

    Args:
        directory: the project's folder.
        environment: the environment's name.
        refresh_seconds: the time after which a deployment, or a switch of the served version, is
            noticed.
    """

    def __init__(self, directory: Path, environment: str | None, refresh_seconds: float) -> None:
        self._project = Project(directory, environment, embedded=valkey.options)
        self._refresh_seconds = refresh_seconds
        self.served: dict[str, Served] = {}
        self.deployment = 0
        self.current = False
        self._next: dict[str, Served] = {}
        self._loaded = 0
        self.project = self._project.environment.project
        self._store: AsyncOnlineStore | None = None

    @property
    def store(self) -> AsyncOnlineStore:
        """The online store, for the running event loop."""
        if self._store is None:
            self._store = self._project.async_store()
        return self._store

    def load(self) -> dict[str, Served] | None:
        """Load the services of the newest deployment; None if they are loaded already.

        Raises:
            PlaneError: nothing is deployed, or the deployment can't be read.
        """
        deployment, manifest = self._project.current()
        if deployment.id == self._loaded:
            return None
        loaded: dict[str, Served] = {}
        offline: dict[str, str] = {}
        for spec in manifest.services:
            try:
                layout = self._project.layout(spec.name)
                calculator = self._project.calculator(layout)
                loaded[spec.name] = Served(
                    spec, ServiceReader(layout, self._project.now, calculator=calculator)
                )
            except TransientError:
                raise  # the state can't be read now, which says nothing about this service
            except PlaneError as error:
                offline[spec.name] = error.message
        self._loaded = deployment.id
        say(
            "services_loaded", deployment=deployment.id, services=sorted(loaded), not_online=offline
        )
        return loaded

    async def check(self) -> None:
        """Load the services, and read from the store once.

        Raises:
            PlaneError: they can't be served.
        """
        self._next = self.load() or {}
        # A store that can't be reached now is no error: requests are refused until it answers.
        with suppress(TransientError):
            await self.refresh()

    async def refresh(self) -> None:
        """Read the newest deployment, and the versions to serve.

        Raises:
            PlaneError: the record of deployments or the store can't be read now.
        """
        loaded = await asyncio.to_thread(self.load)
        if loaded is not None:
            self._next = loaded
        # Services are served only after the pointers are known: the values of a version without one
        # may be incomplete.
        if self._next:
            namespace = next(iter(self._next.values())).reader.namespace
            pointers = await records.read_pointers_async(self.store, namespace)
            for service in self._next.values():
                service.serve(pointers.versions)
        self.served, self.deployment, self.current = self._next, self._loaded, True

    async def watch(self) -> None:
        """Refresh forever; of failures in a row, only the first is logged."""
        failing = False
        while True:
            try:
                await self.refresh()
                if failing:
                    say("refresh_recovered")
                failing = False
            except PlaneError as error:
                if not failing:
                    say("refresh_failed", logging.WARNING, error=error.message)
                failing = True
            await asyncio.sleep(self._refresh_seconds)

    async def close(self) -> None:
        """Close the connections."""
        if self._store is not None:
            await self._store.close()
        self._project.close()
