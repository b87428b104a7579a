"""The peak memory of computing 10,000,000 events, in a process of its own, with `memory_limit =
"1GB"`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import projects
from bench.rows import Row
from controlplane import ControlPlane

LIMIT = 2000.0
DEFINITIONS = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view

user = Entity("user", keys={"user_id": "int64"}, owner="bench@example.com")
events = BatchSource("events", table="raw.events", timestamp="ts", owner="bench@example.com")


@batch_feature_view(
    entities=[user], sources=[events], schedule="1d", start="2023-01-01", owner="bench@example.com", online=False,
    features=[
        Aggregate("count", windows=["1d", "7d"]),
        Aggregate("mean", "amount", windows=["1d", "7d"]),
        Attribute("amount", "float64"),
    ],
)
def spending(events):
    return f"SELECT user_id, ts, amount FROM {events}"
"""
LOAD = """
SELECT setseed(0.5);
CREATE TABLE raw.events AS
SELECT CAST(random() * 100000 AS BIGINT) AS user_id,
    TIMESTAMP '2023-01-01' + to_seconds(CAST(random() * 86400 * 365 AS BIGINT)) AS ts, random() * 1000 AS amount
FROM range(10000000) ORDER BY ts;
"""


def rows(temporary: Path) -> Iterator[Row]:
    """Peak memory of `plane run`, as a user gets it."""
    options = ', memory_limit = "1GB"'
    folder = projects.make(temporary / "memory", DEFINITIONS, LOAD, "2024-01-01T02:00:00Z", options)
    with ControlPlane(folder) as plane:
        plane.deploy()
    command = [str(Path(sys.executable).with_name("plane")), "run", "-C", str(folder)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - started
    if status:
        raise RuntimeError(process.stderr.read().decode() if process.stderr else "plane run failed")
    process.returncode = 0
    print(f"    computed in {taken:.0f} s")
    yield Row(
        "10,000,000 events computed, peak memory",
        usage.ru_maxrss / 1e3,
        LIMIT,
        "2,000 MB",
        1.0,
        "MB",
    )
