"""Deadlines of the requests of an event loop.

One timer checks all of them 50 times a second: a timer for each would cost as much as a read.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

_EVERY = 0.02  # seconds


class Deadline:
    """The time until which the task that made it may work.

    Attributes:
        at: the time, in seconds of `perf_counter`; it may be changed.
    """

    __slots__ = ("_late", "_task", "at")

    def __init__(self, at: float) -> None:
        self.at, self._late = at, False
        self._task = asyncio.current_task()

    def look(self, now: float) -> None:
        """Cancel the task, once, if the time is over."""
        if self.at <= now and not self._late and self._task is not None:
            self._late = True
            self._task.cancel()

    def cancelled(self) -> bool:
        """Return whether this deadline, and nothing else, cancelled the task."""
        return self._late and self._task is not None and self._task.uncancel() == 0


class Deadlines:
    """The open deadlines. A task is cancelled a few hundredths of a second after its deadline."""

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self._looking = False

    def start(self, at: float) -> Deadline:
        """Start a deadline for the current task."""
        deadline = Deadline(at)
        self._open.add(deadline)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_EVERY, self._look)
        return deadline

    def end(self, deadline: Deadline) -> None:
        """End a deadline: its work is done."""
        self._open.remove(deadline)

    def _look(self) -> None:
        now = perf_counter()
        for deadline in self._open:
            deadline.look(now)
        self._looking = bool(self._open)
        if self._looking:
            asyncio.get_running_loop().call_later(_EVERY, self._look)
