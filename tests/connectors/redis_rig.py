"""What tests of the Redis connector share."""

from __future__ import annotations

from controlplane.base.ports import OnlineStore, WriteCount
from tests.codec.rows import Record, as_batch


def write(store: OnlineStore, *records: Record) -> WriteCount:
    """Write records in one batch."""
    return store.write([as_batch(records)])
