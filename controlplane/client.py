"""Clients that read online features, for the process of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

from controlplane.base.ports import AsyncOnlineStore
from controlplane.embedded import valkey
from controlplane.errors import TransientError
from controlplane.serving import (
    AsyncOnlineReader,
    FeatureVector,
    FeatureVectors,
    OnlineReader,
    Requests,
)
from controlplane.workspace.project import Project

Reader = TypeVar("Reader", OnlineReader, AsyncOnlineReader)


def _rows(keys: Any) -> Any:  # noqa: ANN401 - mappings, or a DataFrame of any library
    if isinstance(keys, (Mapping, list, tuple)):
        return keys
    # lazy: it imports Arrow
    from controlplane.codec.frames import rows_of

    return rows_of(keys)


def _renewed(before: Reader | None, make: Callable[[], Reader]) -> Reader:
    """Return a reader that replaces an outdated one.

    It reads the versions of the outdated reader until the store says which are served.
    """
    try:
        reader = make()
    except TransientError:
        if before is None:
            raise
        return before  # keep serving while the state database can't be reached
    if before is not None:
        reader.start(before.versions)
    return reader


class FeatureClient:
    """Reads online features.

    Example: `FeatureClient("path/to/project").get("late_arrival", {"origin": "JFK"})`.

    Args:
        directory: the project's folder, or one inside it.
        environment: the environment's name (default: PLANE_ENV; else `local`; else the only one).
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self._project = Project(Path(directory), environment, embedded=valkey.options)
        self._readers: dict[str, OnlineReader] = {}

    @overload
    def get(
        self, service: str, keys: Mapping[str, Any], request: Requests = None
    ) -> FeatureVector: ...

    @overload
    def get(
        self, service: str, keys: Sequence[Mapping[str, Any]], request: Requests = None
    ) -> FeatureVectors: ...

    def get(
        self,
        service: str,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Requests = None,
    ) -> FeatureVector | FeatureVectors:
        """Return the features of one entity, or of several.

        The features of an unknown entity are null; its counts are 0.

        Args:
            service: the feature service.
            keys: key column -> value, for one entity; or a list of such mappings; or a DataFrame
                (pandas, Polars, Arrow) with a row per entity, whose other columns are ignored.
            request: request field -> value, if the service has request fields: one mapping for all
                entities, or one per entity.
        """
        reader = self._readers.get(service)
        if reader is None or reader.outdated:
            reader = self._readers[service] = _renewed(
                reader, lambda: self._project.reader(service)
            )
        keys = _rows(keys)
        # Both branches call the same method; they select its overload for the type checker.
        if isinstance(keys, Mapping):
            return reader.get(keys, request)
        return reader.get(keys, request)

    def services(self) -> list[str]:
        """Return the names of the deployed feature services.

        Raises:
            PlaneError: nothing is deployed.
        """
        return [service.name for service in self._project.current()[1].services]

    def close(self) -> None:
        """Close the connections."""
        self._project.close()


class AsyncFeatureClient:
    """Reads online features in an event loop, where concurrent reads share round trips.

    Example: `async with AsyncFeatureClient("path/to/project") as client: await
    client.get("late_arrival", {"origin": "JFK"})`.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self._project = Project(Path(directory), environment, embedded=valkey.options)
        self._readers: dict[str, AsyncOnlineReader] = {}
        self._store: AsyncOnlineStore | None = None

    async def __aenter__(self) -> AsyncFeatureClient:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @overload
    async def get(
        self, service: str, keys: Mapping[str, Any], request: Requests = None
    ) -> FeatureVector: ...

    @overload
    async def get(
        self, service: str, keys: Sequence[Mapping[str, Any]], request: Requests = None
    ) -> FeatureVectors: ...

    async def get(
        self,
        service: str,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Requests = None,
    ) -> FeatureVector | FeatureVectors:
        """See `FeatureClient.get`."""
        reader = self._readers.get(service)
        if reader is None or reader.outdated:
            reader = self._readers[service] = _renewed(reader, lambda: self._made(service))
        keys = _rows(keys)
        if isinstance(keys, Mapping):
            return await reader.get(keys, request)
        return await reader.get(keys, request)

    def _made(self, service: str) -> AsyncOnlineReader:
        layout = self._project.layout(service)
        if self._store is None:
            self._store = self._project.async_store()
        return AsyncOnlineReader(
            self._store, layout, self._project.now, calculator=self._project.calculator(layout)
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._store is not None:
            await self._store.close()
        self._project.close()
