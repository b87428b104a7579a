"""What a model holds: a connection that reads features online, and nothing else of the project."""

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
    """A reader in the place of an outdated one.

    What it does not know either stays with what that one read.
    """
    try:
        reader = make()
    except TransientError:
        if before is None:
            raise
        return before  # reads go on while the record of deployments can't be reached
    if before is not None:
        reader.start(before.versions)
    return reader


class FeatureClient:
    """Reads features online: `FeatureClient("path/to/project").get("late_arrival", {"origin":
    "JFK"})`.

    Args:
        directory: the project's folder, or one inside it.
        environment: its name; PLANE_ENV unless given, else `local`, else the only one.
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
        """The features of one entity, or of several.

        A key that is unknown gives nulls, and counts of 0.

        Args:
            service: the feature service.
            keys: name -> value, for each entity; or a DataFrame (pandas, Polars, Arrow) with a row
                for each, whose columns that are no keys are ignored.
            request: name -> value of the fields of the service's request, if it has one: for all
                entities, or for each.
        """
        reader = self._readers.get(service)
        if reader is None or reader.outdated:
            reader = self._readers[service] = _renewed(
                reader, lambda: self._project.reader(service)
            )
        keys = _rows(keys)
        if isinstance(keys, Mapping):
            return reader.get(keys, request)
        return reader.get(keys, request)

    def close(self) -> None:
        """Close the connections."""
        self._project.close()


class AsyncFeatureClient:
    """The same inside an event loop, where concurrent reads share round trips.

    `async with AsyncFeatureClient("path/to/project") as client: await client.get("late_arrival",
    {"origin": "JFK"})`.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self._project = Project(Path(directory), environment, embedded=valkey.options)
        self._readers: dict[str, AsyncOnlineReader] = {}
        self._store: AsyncOnlineStore | None = None

    async def __aenter__(self) -> AsyncFeatureClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
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
