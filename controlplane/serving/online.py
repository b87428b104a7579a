"""Reads feature vectors: one round trip for all views and all entities of a request.

The store's serving hash says which version of each view to read. A reader looks it up every
`refresh_seconds`. In a cluster that hash is on one shard. If that shard does not answer, reads from
the other shards continue with the known versions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from controlplane.base.ports import AsyncOnlineStore, Calculator, OnlineStore
from controlplane.errors import PermanentError, PlaneError, TransientError
from controlplane.online import records
from controlplane.serving.layout import ServiceLayout
from controlplane.serving.reader import ServiceReader
from controlplane.serving.request import RequestReader, Requests
from controlplane.serving.vector import FeatureVector, FeatureVectors

Store = TypeVar("Store")
# How long one read waits for the served versions before it continues with the known ones. Later
# reads don't wait: the lookup goes on in the background.
_PATIENCE_SECONDS = 0.1


class _Reader(Generic[Store]):
    """Reads one feature service from one store.

    Args:
        store: the online store.
        service: the layout of the service's values.
        clock: returns the environment's current time in UTC, which decides what has expired.
        refresh_seconds: the time after which the reader looks for another served version.
        calculator: runs the query of the service's calculations; required if it has any.

    Raises:
        PlaneError: the first version of a view lacks a feature that the service reads, or there is
            no calculator.
    """

    def __init__(
        self,
        store: Store,
        service: ServiceLayout,
        clock: Callable[[], datetime],
        *,
        refresh_seconds: float = 5.0,
        calculator: Calculator | None = None,
    ) -> None:
        self._store = store
        self._service = ServiceReader(service, clock, calculator=calculator)
        self._refresh_seconds = refresh_seconds
        # In seconds of the monotonic clock, which no correction of the time moves.
        self._refresh_at = -float("inf")
        self._knows_versions = False  # whether the store has ever said which versions are served

    @property
    def feature_names(self) -> list[str]:
        """The names of the features of every vector, in order."""
        return self._service.feature_names

    @property
    def key_names(self) -> list[str]:
        """The names of the keys of an entity, in order."""
        return self._service.key_names

    @property
    def versions(self) -> dict[str, str]:
        """The version of each view that is read."""
        return self._service.versions

    @property
    def outdated(self) -> bool:
        """Whether it is time to look for a newer deployment.

        That is so if a served version was deployed after this reader was made, and
        `refresh_seconds` have passed since the last lookup.
        """
        return self._service.outdated and time.monotonic() >= self._refresh_at

    def start(self, versions: Mapping[str, str]) -> None:
        """Read these versions, view -> version, until the store says which ones are served."""
        self._service.serve(versions)

    @property
    def request(self) -> RequestReader:
        """The reader of the fields that callers pass in addition to the keys."""
        return self._service.request

    def _serve(self, pointers: records.Pointers) -> None:
        self._service.serve(pointers.versions)
        self._refresh_at = time.monotonic() + self._refresh_seconds
        self._knows_versions = True


class OnlineReader(_Reader[OnlineStore]):
    """Reads one feature service. Safe to share between threads."""

    _refresh_run: _Refresh | None = None

    @overload
    def get(self, keys: Mapping[str, Any], request: Requests = None) -> FeatureVector: ...

    @overload
    def get(
        self, keys: Sequence[Mapping[str, Any]], request: Requests = None
    ) -> FeatureVectors: ...

    def get(
        self,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Requests = None,
    ) -> FeatureVector | FeatureVectors:
        """Read the vector of one entity, or of several entities in order.

        Args:
            keys: the key names and values of one entity or of several, in the right Python types. A
                key is None if there is no such entity. Other names are ignored.
            request: the fields of the service's request, in the right Python types: one mapping for
                all entities, or one for each.

        Raises:
            PlaneError: a key or a request field is missing or not of its type.
            TransientError: the store can't be reached now.
            PermanentError: the store refuses, or a value in it is not one of the view.
        """
        if isinstance(keys, Mapping):
            return self._read([keys], request)[0]
        return self._read(keys, request)

    def _read(self, entities: Sequence[Mapping[str, Any]], request: Requests) -> FeatureVectors:
        if time.monotonic() >= self._refresh_at:
            self._refresh()
        lookup = self._service.lookup(entities, request)
        return self._service.vectors(lookup, self._store.read(lookup.keys))

    def _refresh(self) -> None:
        # Without known versions a read can't continue, so it waits, and raises the store's error.
        if not self._knows_versions:
            self._read_pointers()
            return
        # Before the lookup: other threads need not start it too.
        self._refresh_at = time.monotonic() + self._refresh_seconds
        if self._refresh_run is None or not self._refresh_run.is_alive():
            refresh = self._refresh_run = _Refresh(self._read_pointers)
            refresh.start()
            refresh.join(_PATIENCE_SECONDS)
            if refresh.error is not None:
                raise refresh.error

    def _read_pointers(self) -> None:
        self._serve(records.read_pointers(self._store, self._service.namespace))


class _Refresh(threading.Thread):
    """Reads the served versions in the background, which may take as long as the store's time-out.

    Args:
        read_pointers: reads them. It is no error of this thread if the store can't be reached: the
            read that follows raises it.
    """

    def __init__(self, read_pointers: Callable[[], None]) -> None:
        super().__init__(name="plane-versions", daemon=True)
        self._read_pointers = read_pointers
        self.error: PlaneError | None = None

    def run(self) -> None:
        """See `threading.Thread.run`."""
        try:
            self._read_pointers()
        except TransientError:
            pass
        except PlaneError as error:
            self.error = error


class AsyncOnlineReader(_Reader[AsyncOnlineStore]):
    """Reads one feature service inside one event loop, where concurrent reads share round trips."""

    _refresh_run: asyncio.Task[None] | None = None

    @overload
    async def get(self, keys: Mapping[str, Any], request: Requests = None) -> FeatureVector: ...

    @overload
    async def get(
        self, keys: Sequence[Mapping[str, Any]], request: Requests = None
    ) -> FeatureVectors: ...

    async def get(
        self,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Requests = None,
    ) -> FeatureVector | FeatureVectors:
        """See `OnlineReader.get`."""
        if isinstance(keys, Mapping):
            return (await self._read([keys], request))[0]
        return await self._read(keys, request)

    async def _read(
        self, entities: Sequence[Mapping[str, Any]], request: Requests
    ) -> FeatureVectors:
        if time.monotonic() >= self._refresh_at:
            await self._refresh()
        lookup = self._service.lookup(entities, request)
        return self._service.vectors(lookup, await self._store.read(lookup.keys))

    async def _refresh(self) -> None:
        if not self._knows_versions:
            await self._read_pointers()
            return
        self._refresh_at = time.monotonic() + self._refresh_seconds
        if self._refresh_run is None or self._refresh_run.done():
            refresh = self._refresh_run = asyncio.get_running_loop().create_task(
                self._read_pointers()
            )
            refresh.add_done_callback(_ignore_error)
            # Not `wait_for`, which would cancel it.
            await asyncio.wait({refresh}, timeout=_PATIENCE_SECONDS)
            if refresh.done() and isinstance(error := refresh.exception(), PermanentError):
                raise error

    async def _read_pointers(self) -> None:
        self._serve(await records.read_pointers_async(self._store, self._service.namespace))


def _ignore_error(refresh: asyncio.Task[None]) -> None:
    """Retrieve the error, which asyncio would log otherwise; the read that follows raises it."""
    if not refresh.cancelled():
        refresh.exception()
