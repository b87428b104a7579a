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
    """Remove every key of a version that nobody reads; returns how many there were.

    The cursor says before and after each step that nothing of the version is there, under another
    token, and goes
    last: a removal that was stopped is found again, and a sync of the version that went on
    meanwhile fails and, when repeated, writes all of it anew.
    """
    cursor = SyncCursor(store, namespace, view, fingerprint)
    cursor.reset()
    removed, due = 0, time.monotonic()
    for keys in store.keys(naming.online_prefix(namespace, view, fingerprint)):
        if keys_per_second:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + len(keys) / keys_per_second
        cursor.reset()
        removed += store.remove(keys)
        cursor.reset()
    cursor.remove()
    return removed
