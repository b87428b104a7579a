"""Reads feature vectors: one round trip for all views and all entities of a request.

Which version of a view is read is what the store's serving hash says, looked up once in `refresh_seconds`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from controlplane.ports import AsyncOnlineStore, Calculator, OnlineStore
from controlplane.serving.layout import ServiceLayout
from controlplane.serving.reader import ServiceReader
from controlplane.serving.request import Given, RequestReader
from controlplane.serving.vector import FeatureVector, FeatureVectors

Store = TypeVar("Store")


class _Reader(Generic[Store]):
    """One feature service of one store.

    Args:
        store: where the values are.
        service: which values, and how they are laid out.
        clock: the environment's now, in UTC; decides what has expired.
        refresh_seconds: how long it may take to see that another version is served.
        calculator: runs the query of the service's calculations; needed where it has some.

    Raises:
        PlaneError: the first version of a view lacks a feature that the service reads, or there is no calculator.
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
        """Whether a view is served in a version that was deployed after this reader was made, and it is time to look
        for what is deployed now."""
        return self._service.outdated and time.monotonic() >= self._refresh_at

    def start(self, versions: Mapping[str, str]) -> None:
        """Read these versions, view -> version, until the store says which are served."""
        self._service.serve({view.encode(): version.encode() for view, version in versions.items()})

    @property
    def request(self) -> RequestReader:
        """What callers give beside the keys."""
        return self._service.request

    def _serve(self, fields: Mapping[bytes, bytes]) -> None:
        self._service.serve(fields)
        self._refresh_at = time.monotonic() + self._refresh_seconds


class OnlineReader(_Reader[OnlineStore]):
    """Reads one feature service. Safe to share between threads."""

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
            keys: name -> value, of the right Python types; null where there is no entity. Other names are ignored.
            request: the fields of the service's request, of the right Python types: one mapping, which counts for all
                entities, or one for each.

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
            self._serve(self._store.get_fields(self._service.serving))
        question = self._service.ask(entities, request)
        return self._service.vectors(question, self._store.read(question.keys))


class AsyncOnlineReader(_Reader[AsyncOnlineStore]):
    """Reads one feature service inside one event loop, where concurrent reads share round trips."""

    @overload
    async def get(self, keys: Mapping[str, Any], request: Given = None) -> FeatureVector: ...

    @overload
    async def get(self, keys: Sequence[Mapping[str, Any]], request: Given = None) -> FeatureVectors: ...

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
            self._serve(await self._store.get_fields(self._service.serving))
        question = self._service.ask(entities, request)
        return self._service.vectors(question, await self._store.read(question.keys))
