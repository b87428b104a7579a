"""The slots of a cluster's keys, of many at once.

Readers ask for the slot of one key and need no numpy.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from redis.crc import REDIS_CLUSTER_HASH_SLOTS


class Owners:
    """Which node has each slot.

    Args:
        names: the name of the node of each slot, in the slots' order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._nodes = list(dict.fromkeys(names))
        numbers = {name: number for number, name in enumerate(self._nodes)}
        self._of_slots = np.array([numbers[name] for name in names], np.int16)

    def split(self, records: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        """The records of each node, by the slots of their keys."""
        of_rows = self._of_slots[slots(records.column("key"))]
        for number in np.unique(of_rows):
            yield self._nodes[number], records.take(np.flatnonzero(of_rows == number))


def slots(keys: pa.Array) -> np.ndarray[Any, Any]:
    """The slot of each key (binary, no nulls): CRC16 of what stands in its first braces, else of
    all of it."""
    offsets = np.frombuffer(keys.buffers()[1], np.int32)[
        keys.offset : keys.offset + len(keys) + 1
    ].astype(np.int64)
    data = np.frombuffer(keys.buffers()[2] or b"", np.uint8)
    start, end = offsets[:-1], offsets[1:]
    opened, closed = np.flatnonzero(data == ord("{")), np.flatnonzero(data == ord("}"))
    left = np.append(opened, data.size)[np.searchsorted(opened, start)] + 1
    right = np.append(closed, data.size)[np.searchsorted(closed, left)]
    tagged = (left < right) & (right < end)
    start, lengths = np.where(tagged, left, start), np.where(tagged, right - left, end - start)
    order = np.argsort(-lengths)
    start, ends = start[order], -lengths[order]
    table = np.array([crc_hqx(bytes([byte]), 0) for byte in range(256)], np.uint16)
    crc = np.zeros(len(keys), np.uint16)
    for place in range(lengths.max(initial=0)):
        longer = crc[: np.searchsorted(ends, -place)]
        longer[:] = (longer << 8) ^ table[(longer >> 8) ^ data[start[: len(longer)] + place]]
    found = np.empty_like(crc)
    found[order] = crc % REDIS_CLUSTER_HASH_SLOTS
    return found
