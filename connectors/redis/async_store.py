"""Reads Redis and Valkey from one event loop: one server, or the masters of a cluster.

Sentinels may name the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio
from redis import exceptions
from redis.asyncio.connection import parse_url

from connectors.redis import store as blocking
from connectors.redis.link import Server
from connectors.redis.sentinel import Sentinels, async_master_client
from connectors.redis.servers import Reply
from connectors.redis.tls import driver_options, is_secure
from controlplane.base.ports import AsyncOnlineStore
from controlplane.errors import PlaneError


def connect(
    *,
    url: str,
    username: str | None = None,
    password: str | None = None,
    sentinels: Sequence[str] = (),
    sentinel_username: str | None = None,
    sentinel_password: str | None = None,
    sentinel_tls: bool = False,
    cluster: bool = False,
    ca_certificate: str | None = None,
    certificate: str | None = None,
    private_key_file: str | None = None,
    timeout_seconds: float = 5.0,
) -> AsyncOnlineStore:
    """Open the store at `url` for one event loop.

    The arguments and errors are those of `connectors.redis.store.connect`.
    """
    files = {
        "ca_certificate": ca_certificate,
        "certificate": certificate,
        "private_key_file": private_key_file,
    }
    store = blocking.connect(
        url=url,
        username=username,
        password=password,
        sentinels=sentinels,
        sentinel_username=sentinel_username,
        sentinel_password=sentinel_password,
        sentinel_tls=sentinel_tls,
        cluster=cluster,
        timeout_seconds=timeout_seconds,
        ca_certificate=ca_certificate,
        certificate=certificate,
        private_key_file=private_key_file,
    )
    secured = driver_options(url, files, of_sentinels=sentinel_tls)
    options: dict[str, Any] = {
        **(secured if is_secure(url) else {}),
        "username": username,
        "password": password,
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": None,  # a request can't wait: its caller retries
    }
    if cluster:
        # lazy: only clusters need the driver's cluster client, which takes a while to import
        from connectors.redis.async_cluster import AsyncRedisCluster

        return AsyncRedisCluster(
            {**options, **parse_url(url)}, store.address, store.translated, timeout_seconds
        )
    if sentinels:
        watchers = Sentinels(
            sentinels, sentinel_username, sentinel_password, sentinel_tls, secured, timeout_seconds
        )
        client = async_master_client(url, options, watchers)
    else:
        client = redis.asyncio.Redis.from_url(url, **options)
    return AsyncRedisStore(
        Server(client.connection_pool, timeout_seconds), store.address, store.translated
    )


class AsyncRedisStore:
    """Implements `controlplane.base.ports.AsyncOnlineStore` over one server.

    Args:
        server: the server to read.
        address: what error messages call the server.
        translated: returns an error of the platform for a driver's error and the action that
            failed.
    """

    def __init__(
        self,
        server: Server,
        address: str,
        translated: Callable[[exceptions.RedisError, str], PlaneError],
    ) -> None:
        self._server, self._address, self._translated = server, address, translated

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AsyncOnlineStore.read`."""
        values: list[bytes | None] = await self._ask("MGET", *keys) if keys else []
        return values

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `AsyncOnlineStore.get_fields`."""
        words: list[bytes] = await self._ask("HGETALL", name)
        return dict(zip(words[::2], words[1::2], strict=True))

    async def answering(self, seconds: float) -> dict[str, bool]:
        """See `AsyncOnlineStore.answering`."""
        try:
            async with asyncio.timeout(seconds):
                return {self._address: await self._server.answers()}
        except TimeoutError:
            return {self._address: False}

    async def close(self) -> None:
        """See `AsyncOnlineStore.close`."""
        await self._server.close()

    async def _ask(self, *command: str | bytes) -> Reply:
        try:
            return await self._server.ask(command)
        except exceptions.RedisError as error:
            raise self._translated(error, str(command[0])) from None
