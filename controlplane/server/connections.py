"""The connections of one worker: limits on their number, memory and time.

A connection costs a file descriptor and memory before the server knows whether it has an API key,
so these limits apply from its first byte. A full worker closes idle connections to make room.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from itertools import takewhile
from typing import Protocol

from controlplane.server import metrics
from controlplane.server.logs import say

MAX_HEAD = 65_536
"""Bytes of a request line with its headers, and of a body's framing (chunk sizes, trailers)."""
MAX_HEADERS = 1000
HEAD_SECONDS = 9.0
"""The limit for a head, from its first byte, or from the start of a new connection.

The sweep adds half a second at most.
"""
DRAIN_SECONDS = 10.0
"""The limit for the rest of a body whose request was answered early."""
LINGER_SECONDS = 1.0
"""The limit for a client to read a refusal.

Closing at once would reset the connection, and the client might not get the response.
"""
STALLED_SECONDS = 30.0
"""The limit for a client to read so much of its responses that the next can be written."""

_SWEEP_SECONDS = 0.5
_LOG_SECONDS = 10.0
_MAX_UNFINISHED = 8 * 1024 * 1024
"""Bytes of all incomplete heads, and of all pipelined requests that are not parsed yet."""
_EVICTABLE_SECONDS = 0.5  # an honest client sends its head at once
_MAX_REFUSING = 16  # connections above the limit whose clients still read their 503
_MAX_CONNECTIONS = 4096
_MAX_BACKLOG = 2048
_MIN_RESERVE = 64  # files of the worker itself: logs, databases, connections to the store


def backlog() -> int:
    """Return how many connections may wait to be accepted."""
    # At most a quarter of all files, since one turn of the event loop may accept all of them.
    return min(_MAX_BACKLOG, _open_files() // 4)


def room() -> int:
    """Return how many connections a worker can have, with enough files left for everything else."""
    files = _open_files()
    return max(8, files - backlog() - max(_MIN_RESERVE, files // 8))


def default_limit() -> int:
    """Return how many connections a worker accepts by default."""
    return min(room(), _MAX_CONNECTIONS)


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class Connection(Protocol):
    """A connection, as far as the limits need it."""

    phase: dict[Connection, float] | None

    def expire(self) -> None:
        """Close the connection, because its head did not arrive in time."""

    def evict(self) -> None:
        """Close the connection at once, to make room."""

    def abort(self) -> None:
        """Drop the connection, and all bytes that are not sent yet."""

    @property
    def busy(self) -> bool:
        """Whether it has a request that is not answered yet."""

    @property
    def unsent(self) -> bool:
        """Whether bytes of a response wait for the client to read."""


Queue = dict[Connection, float]
"""The connections in a phase, with the time when they entered it; the oldest is the first."""


class Connections:
    """All connections of a worker.

    Args:
        limit: the most connections at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.unfinished = 0
        self.waiting: Queue = {}
        """No request is known yet: the head has not arrived, or not all of it."""
        self.known: Queue = {}
        """A request is being answered; or, if the connection is not `busy`, the last one was
        answered, at that time."""
        self.draining: Queue = {}
        """A request was answered while its body still arrives."""
        self.ending: Queue = {}
        """The last response is written; the client may read it."""
        self.stalled: Queue = {}
        """The client does not read its responses. A stalled connection stays in its phase, too."""
        self._refused: Counter[str] = Counter()
        self._logged_at = -float("inf")
        self._sweeping = False
        self._loop = asyncio.get_running_loop()

    def admit(self) -> bool:
        """Count a new connection; returns whether it may stay.

        A full worker closes an idle connection to make room.
        """
        self.count += 1
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        return self.count <= self.limit or self._make_room()

    @property
    def may_linger(self) -> bool:
        """Whether a connection above the limit may stay until its refusal is read."""
        return self.count <= self.limit + _MAX_REFUSING

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.count -= 1
        self.enter(connection, None)
        self.stalled.pop(connection, None)

    def enter(self, connection: Connection, phase: Queue | None) -> None:
        """Move a connection to a phase; None: it is closed."""
        if connection.phase is not None:
            del connection.phase[connection]
        connection.phase = phase
        if phase is not None:
            phase[connection] = self._loop.time()

    def hold(self, size: int) -> bool:
        """Count bytes of unfinished requests; returns whether there is memory for them."""
        self.unfinished += size
        return self.unfinished <= _MAX_UNFINISHED

    def release(self, size: int) -> None:
        """Uncount bytes of requests that are finished, or whose connection is closed."""
        self.unfinished -= size

    def refused(self, reason: str) -> None:
        """Count a refusal, and log the counts now and then: an attack must not fill the log."""
        metrics.refused_connection(reason)
        self._refused[reason] += 1
        if self._loop.time() - self._logged_at >= _LOG_SECONDS:
            self._log()

    def _log(self) -> None:
        say("connections_refused", logging.WARNING, **self._refused)
        self._refused.clear()
        self._logged_at = self._loop.time()

    def _make_room(self) -> bool:
        oldest = next(iter(self.waiting), None)
        if oldest is None or self._loop.time() - self.waiting[oldest] < _EVICTABLE_SECONDS:
            oldest = next((connection for connection in self.known if not connection.busy), None)
        if oldest is None:
            return False
        self.refused("evicted")
        oldest.evict()
        return True

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in _older(self.waiting, now - HEAD_SECONDS):
            connection.expire()
        for connection in _older(self.ending, now - LINGER_SECONDS):
            if not connection.unsent:
                connection.abort()
        for queue, seconds in (
            (self.draining, DRAIN_SECONDS),
            (self.ending, STALLED_SECONDS),
            (self.stalled, STALLED_SECONDS),
        ):
            for connection in _older(queue, now - seconds):
                connection.abort()
        if self._refused and now - self._logged_at >= _LOG_SECONDS:
            self._log()
        self._sweeping = self.count > 0
        if self._sweeping:
            self._loop.call_later(_SWEEP_SECONDS, self._sweep)


def _older(queue: Queue, than: float) -> list[Connection]:
    return [connection for connection, _ in takewhile(lambda item: item[1] <= than, queue.items())]
