"""What tests let go wrong: each fault waits for the next statement that holds its text, and happens
once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.endpoints.snowflake.errors import SnowflakeError


@dataclass
class Fault:
    """One thing that goes wrong.

    Args:
        pattern: what the statement's text holds.
        kind: `drop` closes the connection after the statement was run, `unavailable` answers 503
            before it is, `slow` waits `seconds` before it, `fail` answers `error` in its place,
            `expire` lets the session's token expire before it, `lapse` the one that renews it too,
            `end` ends the session before it, `truncate` keeps `rows` of its result.
    """

    pattern: str
    kind: str
    seconds: float = 0.0
    rows: int = 0
    error: SnowflakeError | None = None


@dataclass
class Faults:
    """The faults that are to come."""

    waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def drop(self, pattern: str) -> None:
        self.waiting.append(Fault(pattern, "drop"))

    def unavailable(self, pattern: str) -> None:
        self.waiting.append(Fault(pattern, "unavailable"))

    def slow(self, pattern: str, seconds: float) -> None:
        self.waiting.append(Fault(pattern, "slow", seconds=seconds))

    def fail(self, pattern: str, number: int, state: str, text: str) -> None:
        self.waiting.append(Fault(pattern, "fail", error=SnowflakeError(number, state, text)))

    def expire(self, pattern: str) -> None:
        self.waiting.append(Fault(pattern, "expire"))

    def lapse(self, pattern: str) -> None:
        self.waiting.append(Fault(pattern, "lapse"))

    def end(self, pattern: str) -> None:
        self.waiting.append(Fault(pattern, "end"))

    def truncate(self, pattern: str, rows: int) -> None:
        self.waiting.append(Fault(pattern, "truncate", rows=rows))

    def take(self, kind: str, text: str) -> Fault | None:
        """The next fault of a kind for a statement; it will not happen again."""
        with self._lock:
            for fault in self.waiting:
                if fault.kind == kind and fault.pattern in text:
                    self.waiting.remove(fault)
                    return fault
        return None
