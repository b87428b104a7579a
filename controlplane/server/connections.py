"""The connections of one worker: how many there may be, how long each may take, and which are
closed to make room.

A connection without an API key costs a file descriptor and memory, so each has limits before a
request of it is known.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from typing import Protocol

from controlplane.server import metrics
from controlplane.server.logs import say

MAX_HEAD = 65_536
"""Bytes of a request line with its headers, and of what frames a body (chunk sizes, trailers)."""
MAX_HEADERS = 1000
HEAD_SECONDS = 9.0
"""From the first byte of a head (of a new connection: from its start) to the end of the head; the
sweep adds half a second at most."""
DRAIN_SECONDS = 10.0
"""For the rest of a body that was answered before it was there."""
LINGER_SECONDS = 1.0
"""For a client to read a refusal. Closing at once would reset the connection, and the client may
lose the answer."""
STALLED_SECONDS = 30.0
"""For a client to read enough of its answers that the next can be written."""

_SWEEP_SECONDS = 0.5
_LOG_SECONDS = 10.0
_MAX_UNFINISHED = 8 * 1024 * 1024
"""Bytes of all heads that are not complete, and of pipelined requests that are not parsed yet."""
_EVICTABLE_SECONDS = 0.5  # an honest client sends its head at once
_MAX_REFUSING = 16  # connections above the limit that wait for their 503 to be read
_MAX_CONNECTIONS = 4096
_MAX_BACKLOG = 2048
_MIN_RESERVE = 64  # files of the worker itself: logs, databases, connections to the store


def backlog() -> int:
    """How many connections may wait to be accepted. All of them may be accepted in one turn of the
    event loop."""
    return min(_MAX_BACKLOG, _open_files() // 4)


def room() -> int:
    """How many connections a worker can have and keep enough file descriptors for all else."""
    files = _open_files()
    return max(8, files - backlog() - max(_MIN_RESERVE, files // 8))


def default_limit() -> int:
    """How many connections a worker accepts unless told."""
    return min(room(), _MAX_CONNECTIONS)


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class Connection(Protocol):
    """What the limits need of a connection."""

    phase: dict[Connection, float] | None

    def expire(self) -> None:
        """Close the connection: the head did not come in time."""

    def evict(self) -> None:
        """Close the connection at once: its place is needed."""

    def abort(self) -> None:
        """Drop the connection and what is not sent yet."""

    @property
    def busy(self) -> bool:
        """Whether it has a request that is not answered yet."""

    @property
    def unsent(self) -> bool:
        """Whether some of its answers waits for the client to read."""


Queue = dict[Connection, float]
"""Connections in the order in which they came into a phase, with that time: the first is the
oldest."""


class Connections:
    """All connections of a worker.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.unfinished = 0
        self.waiting: Queue = {}
        """No request is known yet: the head is awaited, or half of it is there."""
        self.known: Queue = {}
        """A request was received and is being answered, or, if it is not `busy`, was answered: then
        the time is that of the last answer."""
        self.draining: Queue = {}
        """A body still comes whose request was answered."""
        self.ending: Queue = {}
        """The last answer is written; the client may read it."""
        self.stalled: Queue = {}
        """Answers can't be written, because the client does not read; the phase stays what it
        was."""
        self._refused: Counter[str] = Counter()
        self._logged_at = -float("inf")
        self._sweeping = False
        self._loop = asyncio.get_running_loop()

    def admit(self) -> bool:
        """Count a new connection; whether it may stay. A full worker closes another connection if
        one can go."""
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
        """Note that a connection is in a phase from now on; None: it is closed."""
        if connection.phase is not None:
            del connection.phase[connection]
        connection.phase = phase
        if phase is not None:
            phase[connection] = self._loop.time()

    def hold(self, size: int) -> bool:
        """Count bytes that wait for more, or for their turn; whether there is memory for them."""
        self.unfinished += size
        return self.unfinished <= _MAX_UNFINISHED

    def release(self, size: int) -> None:
        """Count bytes that wait no longer, or whose connection is closed."""
        self.unfinished -= size

    def refused(self, reason: str) -> None:
        """Count a refusal; log the counts once in a while, since an attack must not fill the
        log."""
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
            oldest = next((one for one in self.known if not one.busy), None)
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
    found = []
    for connection, since in queue.items():
        if since > than:
            break
        found.append(connection)
    return found
