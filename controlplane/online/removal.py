"""Removes one version of a view from the online store, at a bounded rate."""

from __future__ import annotations

import time

from controlplane.base import naming
from controlplane.base.ports import OnlineStore
from controlplane.online.records import SyncCursor


def remove_version(
    store: OnlineStore,
    namespace: str,
    view: str,
    fingerprint: str,
    keys_per_second: float | None = None,
) -> int:
    """Remove every key of a version that nobody reads; return the number of keys.

    Before and after each step the cursor is reset to version 0 with another token. So a concurrent
    sync of the version fails, and its repetition writes all values again. The cursor is removed
    last, so that a removal that was stopped is continued by the next one.
    """
    cursor = SyncCursor(store, namespace, view, fingerprint)
    cursor.reset()
    removed, due = 0, time.monotonic()
    for keys in store.keys(naming.online_prefix(namespace, view, fingerprint)):
        # A server runs one command at a time, so an unbounded removal would delay all reads.
        if keys_per_second:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + len(keys) / keys_per_second
        cursor.reset()
        removed += store.remove(keys)
        cursor.reset()
    cursor.remove()
    return removed
