"""One Redis server read from one event loop: one write sends all commands of a turn of the loop.

The driver opens the connection (TLS, users, sentinels). Commands and replies then bypass it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool

from connectors.redis.servers import Reply

_PAUSE = 0.1  # seconds without a new attempt, after a server could not be reached
_NOT_SERVING = ("NOAUTH", "LOADING", "MASTERDOWN")


class Server:
    """One server over one connection, which is opened again after it was lost.

    Its methods raise the driver's errors. A server that did not answer in time is silent: until it
    answers a PING, commands fail within a tenth of a second.

    Args:
        pool: the driver's pool, which makes connections.
        timeout_seconds: the limit for each reply.
    """

    def __init__(self, pool: ConnectionPool, timeout_seconds: float) -> None:
        self._pool, self._timeout = pool, timeout_seconds
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._opening_since = self._failed_at = -float("inf")
        self._failure: exceptions.RedisError = exceptions.ConnectionError()
        self._silent = False

    def send(self, *commands: tuple[str | bytes, ...]) -> asyncio.Future[Any] | None:
        """Send commands over the open connection; None if no connection is open.

        The future gets the reply to the last command.
        """
        link = self._link
        if link is None or link.lost:
            return None
        for command in commands[:-1]:
            link.send(_packed(command)).add_done_callback(_seen)
        return link.send(_packed(commands[-1]))

    async def ask(self, *commands: tuple[str | bytes, ...]) -> Reply:
        """Send commands one after the other; returns the reply to the last.

        Raises:
            RedisError: the server can't be reached, does not answer in time, or refuses.
        """
        sent = self.send(*commands)
        if sent is not None:
            try:
                return await sent
            except exceptions.ConnectionError:
                pass  # the server restarts or fails over; a read may safely be sent twice
        await self._opened()
        sent = self.send(*commands)
        if sent is None:
            raise exceptions.ConnectionError("Connection closed by server.")
        return await sent

    async def open(self) -> None:
        """Open the connection if none is open.

        Raises:
            RedisError: the server can't be reached, or was silent and does not answer yet.
        """
        await self._opened()

    @property
    def is_silent(self) -> bool:
        """Whether the server did not answer in time, and has not answered since."""
        return self._silent or (self._link is not None and self._link.timed_out)

    async def answers(self) -> bool:
        """Return whether the server answers a PING within the timeout."""
        try:
            await self.ask(("PING",))
        except exceptions.ResponseError as error:
            # Other errors are answers, too: a user without the right to PING may still read.
            return not str(error).startswith(_NOT_SERVING)
        except exceptions.RedisError:
            return False
        return True

    async def close(self) -> None:
        """Close the connection."""
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.close(exceptions.ConnectionError("closed"))
        if isinstance(self._pool, SentinelConnectionPool):
            await self._pool.sentinel_manager.aclose()

    async def _opened(self) -> _Link:
        """Return the open connection; all callers wait for the same attempt to open one."""
        if self._link is not None and not self._link.lost:
            return self._link
        loop = asyncio.get_running_loop()
        if self._link is not None and self._link.timed_out:
            self._silent = True
            self._failure = exceptions.TimeoutError("Timeout reading from server")
        if self._opening is None:
            if loop.time() - self._failed_at < _PAUSE:
                # Without its traceback, which would grow with each raise of the same error.
                raise self._failure.with_traceback(None)
            self._opening, self._opening_since = loop.create_task(self._open()), loop.time()
            self._opening.add_done_callback(self._settled)
        opening = self._opening
        if self._silent:
            # It may serve again since the last attempt, so wait for this one, but not for long.
            await asyncio.wait(
                {opening}, timeout=max(0.0, self._opening_since + _PAUSE - loop.time())
            )
            if not opening.done():
                raise self._failure.with_traceback(None)
        return await asyncio.shield(opening)

    def _settled(self, opening: asyncio.Task[_Link]) -> None:
        self._opening = None
        if opening.cancelled():
            return
        error = opening.exception()
        self._silent = isinstance(error, exceptions.TimeoutError)
        if isinstance(error, exceptions.RedisError):
            self._failed_at, self._failure = asyncio.get_running_loop().time(), error

    async def _open(self) -> _Link:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except OSError as error:  # for example, the host name is unknown
            raise exceptions.ConnectionError(str(error)) from None
        link = _Link(connection, self._timeout)
        # The operating system accepts connections even while the server process hangs.
        if self._silent:
            try:
                await link.send(_packed(("PING",)))
            except exceptions.ResponseError:
                pass  # it answered
        self._link = link
        return link


def _packed(command: tuple[str | bytes, ...]) -> bytes:
    # hiredis annotates this argument as a tuple of one element, but takes any number.
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def _seen(reply: asyncio.Future[Any]) -> None:
    """Retrieve the error of a reply that nobody awaits; else asyncio would log it."""
    if not reply.cancelled():
        reply.exception()


class _Link(asyncio.Protocol):
    """One open connection, taken over from the driver, and the replies that the server owes."""

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
        self.timed_out = False

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command with all others of this turn of the loop; the future gets its reply.

        Raises:
            ConnectionError: the connection is already lost.
        """
        if self.lost:
            raise exceptions.ConnectionError("Connection closed by server.")
        reply = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(command)
        self._owed.append(reply)
        # One timer for a connection rather than for each command: timeouts are rare.
        if not self._watched:
            self._watched = True
            self._loop.call_later(self._timeout, self._watch, reply)
        return reply

    def _flush(self) -> None:
        if not self.lost:
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def _watch(self, oldest: asyncio.Future[Any]) -> None:
        """Give up the connection if the oldest reply of one timeout ago is still owed."""
        self._watched = False
        if self._owed and self._owed[0] is oldest:
            self.timed_out = True
            self.close(exceptions.TimeoutError("Timeout reading from server"))
        elif self._owed:
            self._watched = True
            self._loop.call_later(self._timeout, self._watch, self._owed[0])

    def data_received(self, data: bytes) -> None:
        """Hand out the replies in the order of their commands."""
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
            if future.done():  # the caller has stopped waiting
                continue
            if isinstance(reply, exceptions.ResponseError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail all replies that are still owed."""
        self.close(exceptions.ConnectionError(str(exc) if exc else "Connection closed by server."))

    def close(self, reason: exceptions.RedisError) -> None:
        """Close the connection; callers that wait for a reply get `reason`."""
        if self.lost and not self._owed:
            return
        self.lost = True
        self._transport.abort()
        self._connection._writer = self._connection._reader = None
        owed, self._owed = self._owed, deque()
        for future in owed:
            if not future.done():
                future.set_exception(reason)
