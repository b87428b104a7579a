"""What can go wrong on purpose: asked for by a test, and done to the next statements that match."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from thrift.transport.TTransport import TTransportException

KINDS = ("drop", "status", "slow", "expire", "truncate", "error")


@dataclass
class Fault:
    """One fault.

    Args:
        kind: `drop` the connection after the statement has run; answer with an HTTP `status`; be
            `slow`; `expire` the session before the statement runs; `truncate` the last part of its
            result; answer with an `error`.
        caller: whose statements: the token that they come with.
        pattern: for statements that this regular expression is found in.
        times: for how many of them.
        status: of the HTTP answer.
        seconds: how slow.
        message: of the error.
        method: the protocol's call that it strikes.
    """

    kind: str
    caller: str
    pattern: str = ""
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    message: str = ""
    method: str = "ExecuteStatement"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}: choose from {', '.join(KINDS)}")


@dataclass
class Faults:
    """The faults that are still to come."""

    coming: list[Fault] = field(default_factory=list)

    def take(self, caller: str, method: str, sql: str = "") -> dict[str, Fault]:
        """The faults that strike this call now, by their kind."""
        struck: dict[str, Fault] = {}
        for fault in list(self.coming):
            fits = (
                fault.caller == caller and fault.method == method and re.search(fault.pattern, sql)
            )
            if fits and fault.kind not in struck:
                struck[fault.kind] = fault
                fault.times -= 1
                if not fault.times:
                    self.coming.remove(fault)
        return struck


# The generated processor lets transport errors through, and makes answers of all others.
class Dropped(TTransportException):  # type: ignore[misc]  # it has no hints
    """The connection is to be closed without an answer."""


class Refused(TTransportException):  # type: ignore[misc]
    """The request is to be answered with an HTTP status."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message=message)
        self.status = status
