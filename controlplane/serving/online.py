"""Reads feature vectors: one round trip for all views and all entities of a request.

Which version of a view is read is what the store's serving hash says, looked up once in
`refresh_seconds`. In a cluster that hash is on one shard, whose silence must not stop reads from
the others: they go on with the versions known.
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
from controlplane.serving.request import Given, RequestReader
from controlplane.serving.vector import FeatureVector, FeatureVectors

Store = TypeVar("Store")
_PATIENCE_SECONDS = 0.1
"""For the store to say which versions are served, before one read goes on with those known; then
none waits for it."""


class _Reader(Generic[Store]):
    """One feature service of one store.

    Args:
        store: where the values are.
        service: which values, and how they are laid out.
        clock: the environment's now, in UTC; decides what has expired.
        refresh_seconds: how long it may take to see that another version is served.
        calculator: runs the query of the service's calculations; needed where it has some.

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
        self._refresh_at = -float("inf")
        self._knows = False  # whether the store has ever said which versions are served

    @property
    def feature_names(self) -> list[str]:
        """The names of every vector, in order."""
        return self._service.feature_names

    @property
    def key_names(self) -> list[str]:
        """The keys that a request must give, in order."""
        return self._service.key_names

    @property
    def versions(self) -> dict[str, str]:
        """The version of each view that was read last."""
        return self._service.versions

    @property
    def outdated(self) -> bool:
        """Whether a view is served in a version that was deployed after this reader was made, and
        it is time to look for what is deployed now."""
        return self._service.outdated and time.monotonic() >= self._refresh_at

    def start(self, versions: Mapping[str, str]) -> None:
        """Read these versions, view -> version, until the store says which are served."""
        self._service.serve(versions)

    @property
    def request(self) -> RequestReader:
        """What callers give beside the keys."""
        return self._service.request

    def _serve(self, pointers: records.Pointers) -> None:
        self._service.serve(pointers.versions)
        self._refresh_at = time.monotonic() + self._refresh_seconds
        self._knows = True


class OnlineReader(_Reader[OnlineStore]):
    """Reads one feature service. Safe to share between threads."""

    _look: _Look | None = None

    @overload
    def get(self, keys: Mapping[str, Any], request: Given = None) -> FeatureVector: ...

    @overload
    def get(self, keys: Sequence[Mapping[str, Any]], request: Given = None) -> FeatureVectors: ...

    def get(
        self,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Given = None,
    ) -> FeatureVector | FeatureVectors:
        """The vector of one entity, or one for each of several, in order.

        Args:
            keys: name -> value, of the right Python types; null where there is no entity. Other
                names are ignored.
            request: the fields of the service's request, of the right Python types: one mapping,
                which counts for all entities, or one for each.

        Raises:
            PlaneError: a key or a request field is not given or not of its type.
            TransientError: the store can't be reached now.
            PermanentError: the store refuses, or holds what is no value of the view.
        """
        if isinstance(keys, Mapping):
            return self._read([keys], request)[0]
        return self._read(keys, request)

    def _read(self, entities: Sequence[Mapping[str, Any]], request: Given) -> FeatureVectors:
        if time.monotonic() >= self._refresh_at:
            self._refresh()
        question = self._service.ask(entities, request)
        return self._service.vectors(question, self._store.read(question.keys))

    def _refresh(self) -> None:
        if not self._knows:
            self._find()
            return
        self._refresh_at = time.monotonic() + self._refresh_seconds
        if self._look is None or not self._look.is_alive():
            look = self._look = _Look(self._find)
            look.start()
            look.join(_PATIENCE_SECONDS)
            if look.error is not None:
                raise look.error

    def _find(self) -> None:
        self._serve(records.read_pointers(self._store, self._service.namespace))


class _Look(threading.Thread):
    """A look at the versions that are served, which may take as long as the store's time-out.

    Args:
        find: what it does. That the store can't be reached is no error of it: the read that
            follows says so.
    """

    def __init__(self, find: Callable[[], None]) -> None:
        super().__init__(name="plane-versions", daemon=True)
        self._find = find
        self.error: PlaneError | None = None

    def run(self) -> None:
        """See `threading.Thread.run`."""
        try:
            self._find()
        except TransientError:
            pass
        except PlaneError as error:
            self.error = error


class AsyncOnlineReader(_Reader[AsyncOnlineStore]):
    """Reads one feature service inside one event loop, where concurrent reads share round trips."""

    _look: asyncio.Task[None] | None = None

    @overload
    async def get(self, keys: Mapping[str, Any], request: Given = None) -> FeatureVector: ...

    @overload
    async def get(
        self, keys: Sequence[Mapping[str, Any]], request: Given = None
    ) -> FeatureVectors: ...

    async def get(
        self,
        keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Given = None,
    ) -> FeatureVector | FeatureVectors:
        """See `OnlineReader.get`."""
        if isinstance(keys, Mapping):
            return (await self._read([keys], request))[0]
        return await self._read(keys, request)

    async def _read(self, entities: Sequence[Mapping[str, Any]], request: Given) -> FeatureVectors:
        if time.monotonic() >= self._refresh_at:
            await self._refresh()
        question = self._service.ask(entities, request)
        return self._service.vectors(question, await self._store.read(question.keys))

    async def _refresh(self) -> None:
        if not self._knows:
            await self._find()
            return
        self._refresh_at = time.monotonic() + self._refresh_seconds
        if self._look is None or self._look.done():
            look = self._look = asyncio.get_running_loop().create_task(self._find())
            look.add_done_callback(_seen)
            await asyncio.wait({look}, timeout=_PATIENCE_SECONDS)
            if look.done() and isinstance(error := look.exception(), PermanentError):
                raise error

    async def _find(self) -> None:
        self._serve(await records.read_pointers_async(self._store, self._service.namespace))


def _seen(look: asyncio.Task[None]) -> None:
    """That the store can't be reached is no news: the read that follows says so."""
    if not look.cancelled():
        look.exception()
