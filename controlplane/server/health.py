"""Whether the online store answers, as the log tells it: when that changes, and not for each
request."""

from __future__ import annotations

import logging
from time import monotonic

from controlplane.server.logs import say

_QUIET_SECONDS = 5.0
"""Without a failure until the store is said to have recovered. While one shard of a cluster is
away, requests of the others succeed all the time."""
_REMINDER_SECONDS = 60.0


class StoreHealth:
    """What the log says of the store: `store_failed`, again each minute while it goes on, and
    `store_recovered`."""

    def __init__(self) -> None:
        self._failures = 0
        self._failed_at = self._said_at = -float("inf")
        self.failing = False

    def failed(self, error: str) -> None:
        """Note a read that the store did not answer."""
        now = monotonic()
        self._failures += 1
        self._failed_at = now
        if not self.failing or now - self._said_at >= _REMINDER_SECONDS:
            say("store_failed", logging.ERROR, error=error, failures=self._failures)
            self._failures, self._said_at = 0, now
        self.failing = True

    def succeeded(self) -> None:
        """Note a read that the store answered."""
        if self.failing and monotonic() - self._failed_at >= _QUIET_SECONDS:
            say("store_recovered", failures=self._failures)
            self.failing, self._failures = False, 0
