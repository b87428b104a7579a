"""Logs when the online store stops answering and when it recovers, not for each request."""

from __future__ import annotations

import logging
from time import monotonic

from controlplane.server.logs import say

_QUIET_SECONDS = 5.0
"""The time without a failure after which `store_recovered` is logged.

One success is not enough: while one shard of a cluster is down, reads of other shards succeed.
"""
_REMINDER_SECONDS = 60.0
"""The time between two lines `store_failed` of one failure."""


class StoreHealth:
    """Logs `store_failed`, again each minute while the failure lasts, and `store_recovered`."""

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
