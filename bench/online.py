"""The online store: a sync of 1,000,000 rows of 10 features beside its own bytes replayed from
memory.

Each measurement is a process of its own, so that its CPU seconds and its memory are its own.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import redis

from bench.rows import Row
from bench.server import started
from connectors.redis.commands import COMPARE, REPLACE
from connectors.redis.store import connect
from controlplane.codec import Field, Layout
from controlplane.codec.batch import encode_batch
from controlplane.embedded import valkey

ROWS, BATCH, REPEAT = 1_000_000, 65_536, 5
KINDS = {f"amount_{n}": "float64" for n in range(3)} | {f"count_{n}": "int64" for n in range(3)}
KINDS |= {"premium": "bool", "tier": "string", "device": "string", "embedding": "array<float64>"}
LAYOUT = Layout((("user", "string"),), tuple(Field(name, kind) for name, kind in KINDS.items()))
MODES = {"compare": COMPARE, "replace": REPLACE}
WINDOW = 2


class Spent(NamedTuple):
    """What one process spent: seconds of its own CPU and of the server's, of wall clock, and its
    peak memory in MB."""

    cpu: float
    server: float
    wall: float
    memory: float


def rows(temporary: Path) -> Iterator[Row]:
    """Both modes of writing, by turns with the replay, the keys being there already."""
    data(temporary / "rows.arrow")
    with started(temporary) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("appendonly", "no")
        for mode, name in {
            "compare": "compare-and-set with expiry",
            "replace": "SET with expiry",
        }.items():
            spent: dict[str, list[Spent]] = {"ours": [], "replayed": []}
            for _ in range(REPEAT):
                for what, found in spent.items():
                    found.append(_measured(what, mode, temporary, server))
            ours, replayed = (
                Spent(*map(statistics.median, zip(*found, strict=True))) for found in spent.values()
            )
            what = "the same bytes replayed from memory"
            yield Row(f"sync {ROWS:,} x 10, {name}", ours.wall, replayed.wall, what, 1 / 0.9)
            cpu, limit = "the target: 1,500 ns", 1500.0
            yield Row(
                "the same, CPU of the client, a row", ours.cpu / ROWS * 1e9, limit, cpu, 1.0, "ns"
            )
            least = 1e9 / 150_000 if mode == "compare" else None
            other = "150,000 rows a second" if least else "the same bytes replayed"
            against = least or replayed.server / ROWS * 1e9
            yield Row(
                "the same, CPU of the server, a row",
                ours.server / ROWS * 1e9,
                against,
                other,
                least and 1.0,
                "ns",
            )
            yield Row("the same, peak memory", ours.memory, 300.0, "300 MB", 1.0, "MB")


def _measured(what: str, mode: str, folder: Path, server: valkey.Server) -> Spent:
    process = psutil.Process(server.pid)
    before = process.cpu_times()
    command = [
        sys.executable,
        "-m",
        "bench.online",
        what,
        mode,
        str(folder / "rows.arrow"),
        server.url,
    ]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    after = process.cpu_times()
    return Spent(
        found["cpu"],
        after.user + after.system - before.user - before.system,
        found["wall"],
        found["memory"],
    )


def data(path: Path, rows: int = ROWS) -> None:
    """Rows as a warehouse sends them; a tenth of the values of some columns is null."""
    random = np.random.default_rng(1)
    first = None
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        users = np.arange(start, start + count)
        gone = [random.random(count) < 0.1 for _ in range(3)]
        columns = {
            "user": pa.array(np.char.add("user-", users.astype(str))),
            "amount_0": pa.array(random.random(count)),
            "amount_1": pa.array(random.normal(size=count)),
            "amount_2": pa.array(random.random(count), mask=gone[0]),
            "count_0": pa.array(random.integers(0, 50, count)),
            "count_1": pa.array(random.integers(0, 2**41, count)),
            "count_2": pa.array(random.integers(0, 100_000, count), mask=gone[1]),
            "premium": pa.array(random.random(count) < 0.5),
            "tier": pa.array(random.choice(["gold", "silver", "bronze"], count)),
            "device": pa.array(
                np.char.add("device-", random.integers(0, 10**6, count).astype(str)), mask=gone[2]
            ),
            "embedding": pa.ListArray.from_arrays(
                np.arange(0, 4 * count + 1, 4, dtype=np.int32), random.random(4 * count)
            ),
            "valid_from": pa.array(users + 1_700_000_000_000_000).cast(pa.timestamp("us")),
            "expires_at": pa.array(users + 4_000_000_000_000_000).cast(pa.timestamp("us")),
            "is_deleted": pa.array(np.zeros(count, np.bool_)),
        }
        batch = pa.RecordBatch.from_pydict(columns)
        first = first or pa.ipc.new_stream(path, batch.schema)
        first.write_batch(batch)
    if first:
        first.close()


def _records(path: str) -> Iterator[pa.RecordBatch]:
    now = datetime.now(UTC)
    # A path would be mapped into memory.
    with (
        pa.OSFile(path) as file,
        pa.ipc.open_stream(file) as batches,
    ):
        for batch in batches:
            yield from encode_batch(
                batch,
                LAYOUT,
                b"bench.local:users:0123abcd:",
                write_version=1,
                expiry_shift=timedelta(0),
                now=now,
            )


def _ours(mode: str, path: str, url: str) -> tuple[float, float]:
    store = connect(url=url, compare_and_set=mode == "compare")
    store.write([])
    wall, cpu = time.perf_counter(), time.process_time()
    count = store.write(_records(path))
    assert count.written == ROWS
    return time.perf_counter() - wall, time.process_time() - cpu


def _replayed(mode: str, path: str, url: str) -> tuple[float, float]:
    """The same window of batches, and nothing else to do."""
    how, host = MODES[mode], url.removeprefix("redis://").split(":")
    if how.script:
        with redis.Redis.from_url(url) as client:
            client.script_load(how.script)
    chunks: list[tuple[memoryview | bytes, int]] = [
        (how.commands(r, how.together, b""), -(-len(r) // how.together)) for r in _records(path)
    ]
    with socket.create_connection((host[0], int(host[1]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wall, cpu = time.perf_counter(), time.process_time()
        owed: deque[int] = deque()
        ahead = 0
        for chunk, replies in [*chunks, *[(b"", 0)] * WINDOW]:
            if len(owed) >= WINDOW:
                ahead -= owed.popleft()
                while ahead < 0:
                    ahead += connection.recv(1 << 16).count(b"\n")
            connection.sendall(chunk)
            owed.append(replies)
        return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    what, mode, path, url = sys.argv[1:]
    wall, cpu = {"ours": _ours, "replayed": _replayed}[what](mode, path, url)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": memory}))
