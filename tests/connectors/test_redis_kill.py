"""Writers that are killed wherever they are, and others beside them: the next write leaves nothing
wrong or missing."""

from __future__ import annotations

import os
import random
import time

import pytest
import redis

from connectors.redis.store import connect
from controlplane import codec
from tests.children import CHILDREN
from tests.codec.rows import Record, as_batch, value

KILLS = int(os.environ.get("KILLS", "3"))  # `make kills` for more
COUNT = int(os.environ.get("KEYS", "5000"))
SIZE = COUNT // 50


def write(url: str, version: int) -> None:
    """Version `version` of every record."""
    store = connect(url=url)
    store.write(
        as_batch(Record(b"k:{%d}" % n, value(version, n)) for n in range(start, start + SIZE))
        for start in range(0, COUNT, SIZE)
    )
    store.close()


@pytest.mark.parametrize("overlapping", [1, 2])
def test_a_killed_writer_is_healed_by_the_next(valkey_url: str, raw: redis.Redis, overlapping: int):
    chance = random.Random(overlapping)
    keys = [b"k:{%d}" % n for n in range(COUNT)]
    write(valkey_url, 0)
    began = time.monotonic()
    write(valkey_url, 1)
    taken = time.monotonic() - began
    torn, last = 0, 1
    for round_ in range(KILLS):
        versions = [2 + round_ * 2 + number for number in range(overlapping)]
        children = [
            CHILDREN.Process(target=write, args=(valkey_url, version)) for version in versions
        ]
        for child in children:
            child.start()
        while raw.mget(keys[:1]) == [value(last, 0)]:  # none has written yet
            assert all(child.exitcode is None for child in children)
            time.sleep(0.001)
        time.sleep(chance.uniform(0, taken / 2))
        for child in children:
            child.kill()
            child.join()
        found = [one for one in raw.mget(keys) if isinstance(one, bytes)]
        assert len(found) == COUNT
        torn += len({codec.write_version_of(one) for one in found}) > 1
        last = max(versions)
        write(valkey_url, last)
        assert raw.mget(keys) == [value(last, n) for n in range(COUNT)]
    assert torn > 0  # some were killed on the way
