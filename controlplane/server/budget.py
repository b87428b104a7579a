"""A limit of time that many waits share, looked at now and then: a timer for each would cost as much as a read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

Result = TypeVar("Result")


class Budget:
    """So many seconds for each wait; one that takes longer ends with a TimeoutError, at most a tenth later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: deque[_Wait] = deque()
        self._looking = False

    async def wait(self, work: Coroutine[Any, Any, Result], started: float) -> Result:
        """What becomes of `work`, for which the time runs since `started` of `perf_counter`.

        Raises:
            TimeoutError: the time is over.
        """
        task = asyncio.current_task()
        wait = _Wait(started + self._seconds, task)
        while self._waits and self._waits[0].task is None:
            self._waits.popleft()  # those that ended do not pile up until the next look
        self._waits.append(wait)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(self._seconds, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if wait.late and task is not None and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            wait.task = None

    def _look(self) -> None:
        now = perf_counter()
        while self._waits and (self._waits[0].task is None or self._waits[0].ends <= now):
            wait = self._waits.popleft()
            if wait.task is not None:
                wait.late = True
                wait.task.cancel()
        self._looking = bool(self._waits)
        if self._waits:
            rest = max(self._waits[0].ends - now, self._seconds / 10)
            asyncio.get_running_loop().call_later(rest, self._look)


class _Wait:
    __slots__ = ("ends", "late", "task")

    def __init__(self, ends: float, task: asyncio.Task[Any] | None) -> None:
        self.ends, self.task, self.late = ends, task, False
