"""Redis and Valkey read from one event loop: what is asked for in one turn of it goes out in one write.

The driver makes the connection (TLS, users, sentinels); commands and replies then pass it by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis.asyncio
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool

from connectors import redis as blocking
from connectors.redis_sentinel import Sentinels, async_master_client
from connectors.redis_tls import driver_options, is_secure
from controlplane.errors import PlaneError
from controlplane.ports import AsyncOnlineStore

_PAUSE = 0.1  # seconds in which a server that could not be reached is not tried again


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
    """The store at `url`, for one event loop; options as of `connectors.redis.connect`.

    Raises:
        SettingsError: `url` is no such URL, options contradict each other, or a file is not there.
    """
    files = {"ca_certificate": ca_certificate, "certificate": certificate, "private_key_file": private_key_file}
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
    if cluster:
        return _Threaded(store)
    secured = driver_options(url, files, of_sentinels=sentinel_tls)
    options: dict[str, Any] = {
        **(secured if is_secure(url) else {}),
        "username": username,
        "password": password,
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": None,  # who reads cannot wait, and asks again
    }
    if sentinels:
        watchers = Sentinels(sentinels, sentinel_username, sentinel_password, sentinel_tls, secured, timeout_seconds)
        client = async_master_client(url, options, watchers)
    else:
        client = redis.asyncio.Redis.from_url(url, **options)
    return AsyncRedisStore(client.connection_pool, store.translated, timeout_seconds)


class _Threaded:
    """Implements `controlplane.ports.AsyncOnlineStore` by threads, over what finds the nodes of a cluster."""

    def __init__(self, store: blocking.RedisStore) -> None:
        self._store = store

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AsyncOnlineStore.read`; each is asked for by itself."""
        return await asyncio.to_thread(self._store.read, keys)

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `AsyncOnlineStore.get_fields`."""
        return await asyncio.to_thread(self._store.get_fields, name)

    async def close(self) -> None:
        """See `AsyncOnlineStore.close`."""
        await asyncio.to_thread(self._store.close)


class AsyncRedisStore:
    """Implements `controlplane.ports.AsyncOnlineStore` over one connection, which is made anew when it was lost.

    Args:
        pool: the driver's, which makes connections.
        translated: makes an error of ours from a driver's and from what was being done.
        timeout_seconds: for each answer.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        translated: Callable[[exceptions.RedisError, str], PlaneError],
        timeout_seconds: float,
    ) -> None:
        self._pool, self._translated, self._timeout = pool, translated, timeout_seconds
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._failed_at = -float("inf")
        self._failure: exceptions.RedisError = exceptions.ConnectionError()

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `AsyncOnlineStore.read`."""
        found: list[bytes | None] = await self._ask("MGET", *keys) if keys else []
        return found

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `AsyncOnlineStore.get_fields`."""
        found: list[bytes] = await self._ask("HGETALL", name)
        return dict(zip(found[::2], found[1::2], strict=True))

    async def close(self) -> None:
        """See `AsyncOnlineStore.close`."""
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.close(exceptions.ConnectionError("closed"))
        if isinstance(self._pool, SentinelConnectionPool):
            await self._pool.sentinel_manager.aclose()

    async def _ask(self, *command: str | bytes) -> Any:  # noqa: ANN401 - each command has its own answer
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its hint says one argument
        try:
            link = self._link
            if link is not None and not link.lost:
                try:
                    return await link.send(packed)
                except exceptions.ConnectionError:
                    pass  # a server that restarts or fails over: a read may be asked again
            return await (await self._opened()).send(packed)
        except exceptions.RedisError as error:
            raise self._translated(error, str(command[0])) from None

    async def _opened(self) -> _Link:
        """The connection that all who wait for one get."""
        if self._link is not None and not self._link.lost:
            return self._link
        loop = asyncio.get_running_loop()
        if self._opening is None:
            if loop.time() - self._failed_at < _PAUSE:
                raise self._failure.with_traceback(None)  # else it would grow with each raise
            self._opening = loop.create_task(self._open())
            self._opening.add_done_callback(self._settled)
        return await asyncio.shield(self._opening)

    def _settled(self, opening: asyncio.Task[_Link]) -> None:
        self._opening = None
        error = None if opening.cancelled() else opening.exception()
        if isinstance(error, exceptions.RedisError):
            self._failed_at, self._failure = asyncio.get_running_loop().time(), error

    async def _open(self) -> _Link:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except OSError as error:  # of a name that is not found, for one
            raise exceptions.ConnectionError(str(error)) from None
        self._link = _Link(connection, self._timeout)
        return self._link


class _Link(asyncio.Protocol):
    """One open connection, taken over from the driver, and the replies that it owes."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self._connection, self._timeout = connection, timeout
        self._loop = asyncio.get_running_loop()
        writer = connection._writer
        if writer is None:
            raise exceptions.ConnectionError("Connection closed by server.")
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self._replies = hiredis.Reader(replyError=exceptions.ResponseError)
        self._owed: deque[asyncio.Future[Any]] = deque()
        self._waiting: list[bytes] = []
        self._watched = False
        self.lost = self._transport.is_closing()

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send one command with all others of this turn of the loop; its reply comes in the future.

        Raises:
            ConnectionError: the connection is lost already.
        """
        if self.lost:
            raise exceptions.ConnectionError("Connection closed by server.")
        reply = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(command)
        self._owed.append(reply)
        if not self._watched:
            self._watched = True
            self._loop.call_later(self._timeout, self._watch, reply)
        return reply

    def _flush(self) -> None:
        if not self.lost:
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def _watch(self, oldest: asyncio.Future[Any]) -> None:
        """Give up the connection if what was owed first a timeout ago is owed still."""
        self._watched = False
        if self._owed and self._owed[0] is oldest:
            self.close(exceptions.TimeoutError("Timeout reading from server"))
        elif self._owed:
            self._watched = True
            self._loop.call_later(self._timeout, self._watch, self._owed[0])

    def data_received(self, data: bytes) -> None:
        """Give replies to those who wait, in order."""
        self._replies.feed(data)
        while self._owed:
            try:
                reply = self._replies.gets()
            except hiredis.ProtocolError as error:
                self.close(exceptions.ConnectionError(str(error)))
                return
            if reply is False:
                return
            future = self._owed.popleft()
            if future.done():  # whoever asked waits no longer
                continue
            if isinstance(reply, exceptions.ResponseError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """All that is owed will not come."""
        self.close(exceptions.ConnectionError(str(exc) if exc else "Connection closed by server."))

    def close(self, why: exceptions.RedisError) -> None:
        """Close the connection; those who wait are told why."""
        if self.lost and not self._owed:
            return
        self.lost = True
        self._transport.abort()
        self._connection._writer = self._connection._reader = None
        owed, self._owed = self._owed, deque()
        for future in owed:
            if not future.done():
                future.set_exception(why)
