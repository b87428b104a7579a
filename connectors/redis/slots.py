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
    """The node of each slot.

    Args:
        names: the name of the node of each slot, in the slots' order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._nodes = list(dict.fromkeys(names))
        numbers = {name: number for number, name in enumerate(self._nodes)}
        self._of_slots = np.array([numbers[name] for name in names], np.int16)

    def split(self, records: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Divide records by the node of their key's slot."""
        of_rows = self._of_slots[slots(records.column("key"))]
        for number in np.unique(of_rows):
            yield self._nodes[number], records.take(np.flatnonzero(of_rows == number))


def slots(keys: pa.Array) -> np.ndarray[Any, Any]:
    """Return the slot of each key (binary, no nulls).

    It is the CRC16 of the text in the key's first braces, or of the whole key without such a text:
    https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags.
    """
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
    # One step for each byte position, over all keys that are that long: the longest come first, so
    # these keys are always the front of the arrays.
    order = np.argsort(-lengths)
    start, ends = start[order], -lengths[order]
    table = np.array([crc_hqx(bytes([byte]), 0) for byte in range(256)], np.uint16)
    crc = np.zeros(len(keys), np.uint16)
    for position in range(lengths.max(initial=0)):
        longer = crc[: np.searchsorted(ends, -position)]
        longer[:] = (longer << 8) ^ table[(longer >> 8) ^ data[start[: len(longer)] + position]]
    key_slots = np.empty_like(crc)
    key_slots[order] = crc % REDIS_CLUSTER_HASH_SLOTS
    return key_slots
