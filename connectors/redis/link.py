"""One Redis server read from one event loop: commands of one turn of it go out in one write.

The driver makes the connection (TLS, users, sentinels); commands and replies then pass it by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool

_PAUSE = 0.1  # seconds in which a server that could not be reached is not tried again
_NOT_SERVING = ("NOAUTH", "LOADING", "MASTERDOWN")


class Server:
    """One server over one connection, which is made again when it was lost.

    It raises the driver's errors. A server that did not answer in time is silent: what is asked for
    fails within a tenth of a second, until it answers a PING.

    Args:
        pool: the driver's, which makes connections.
        timeout_seconds: for each answer.
    """

    def __init__(self, pool: ConnectionPool, timeout_seconds: float) -> None:
        self._pool, self._timeout = pool, timeout_seconds
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._opening_since = self._failed_at = -float("inf")
        self._failure: exceptions.RedisError = exceptions.ConnectionError()
        self._silent = False

    def send(self, *commands: tuple[str | bytes, ...]) -> asyncio.Future[Any] | None:
        """Send commands over the connection that is open; the future has the reply to the last.
        None: none is open."""
        link = self._link
        if link is None or link.lost:
            return None
        for command in commands[:-1]:
            link.send(_packed(command)).add_done_callback(_seen)
        return link.send(_packed(commands[-1]))

    async def ask(self, *commands: tuple[str | bytes, ...]) -> Any:  # noqa: ANN401 - each command has its own answer
        """Send commands one after the other; the reply to the last.

        Raises:
            RedisError: the server can't be reached, does not answer in time, or refuses.
        """
        sent = self.send(*commands)
        if sent is not None:
            try:
                return await sent
            except exceptions.ConnectionError:
                pass  # a server that restarts or fails over: a read may be asked again
        await self._opened()
        sent = self.send(*commands)
        if sent is None:
            raise exceptions.ConnectionError("Connection closed by server.")
        return await sent

    async def open(self) -> None:
        """Make the connection if there is none.

        Raises:
            RedisError: the server can't be reached, or was silent and does not answer yet.
        """
        await self._opened()

    @property
    def is_silent(self) -> bool:
        """Whether the server did not answer in time, and has not answered since."""
        return self._silent or (self._link is not None and self._link.timed_out)

    async def answers(self) -> bool:
        """Whether it answers now; this waits for an answer as long as any other command."""
        try:
            await self.ask(("PING",))
        except exceptions.ResponseError as error:
            return not str(error).startswith(_NOT_SERVING)  # a user that may not PING may yet read
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
        """The connection that all who wait for one get."""
        if self._link is not None and not self._link.lost:
            return self._link
        loop = asyncio.get_running_loop()
        if self._link is not None and self._link.timed_out:
            self._silent, self._failure = (
                True,
                exceptions.TimeoutError("Timeout reading from server"),
            )
        if self._opening is None:
            if loop.time() - self._failed_at < _PAUSE:
                raise self._failure.with_traceback(None)  # else it would grow with each raise
            self._opening, self._opening_since = loop.create_task(self._open()), loop.time()
            self._opening.add_done_callback(self._settled)
        opening = self._opening
        if self._silent:
            # It may have come back since, unnoticed because nobody asked.
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
        except OSError as error:  # of a name that is not found, for one
            raise exceptions.ConnectionError(str(error)) from None
        link = _Link(connection, self._timeout)
        if self._silent:  # its system accepts connections, whether it runs or not
            try:
                await link.send(_packed(("PING",)))
            except exceptions.ResponseError:
                pass  # it answered
        self._link = link
        return link


def _packed(command: tuple[str | bytes, ...]) -> bytes:
    # its hint says one argument
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def _seen(reply: asyncio.Future[Any]) -> None:
    """An error of a command whose reply nobody waits for is no news."""
    if not reply.cancelled():
        reply.exception()


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
        self.timed_out = False

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
            self.timed_out = True
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
