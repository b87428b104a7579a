"""From the warehouses' endpoints to Redis: 1,000,000 rows of 10 features through the vendors' own
drivers.

The endpoints are those of the tests, on this machine, as is the server: all of them share its
processors. Each measurement is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from redis import Redis

from bench.rows import Row
from bench.server import started
from connectors import databricks
from connectors.redis import store as redis
from connectors.snowflake import signin as snowflake
from controlplane.base.ports import Statement, Warehouse
from controlplane.codec import Field, Layout
from controlplane.codec.batch import encode_batch
from tests.endpoints.databricks.client import DatabricksEndpoint, missing

ROWS, LIMIT = 1_000_000, 300_000
SOME, MANY = 2 * ROWS, 6 * ROWS  # whose memory is compared: the drivers' buffers are full at some
CONNECT: dict[str, Callable[..., Warehouse]] = {
    "snowflake": snowflake.connect,
    "databricks": databricks.connect,
}
KINDS = {f"amount_{n}": "float64" for n in range(4)} | {f"count_{n}": "int64" for n in range(4)}
KINDS |= {"premium": "bool", "device": "string"}
LAYOUT = Layout((("user_id", "string"),), tuple(Field(name, kind) for name, kind in KINDS.items()))
COLUMNS = (
    "CAST({n} AS {text}) AS user_id",
    *(f"CAST({{n}} * 0.37 AS DOUBLE) AS amount_{n}" for n in range(4)),
    *(f"CAST({{n}} * {1000**n} % 1000000007 AS BIGINT) AS count_{n}" for n in range(4)),
    "{n} % 2 = 0 AS premium",
    "CAST({n} % 1000 AS {text}) AS device",
    "CAST('2024-01-01' AS {timestamp}) AS valid_from",
    "CAST('2090-01-01' AS {timestamp}) AS expires_at",
    "{n} < 0 AS is_deleted",
)
WORDS = {
    "snowflake": {"n": "SEQ4()", "text": "VARCHAR", "timestamp": "TIMESTAMP_NTZ(6)"},
    "databricks": {"n": "id", "text": "STRING", "timestamp": "TIMESTAMP"},
}
FROM = {"snowflake": "TABLE(GENERATOR(ROWCOUNT => {}))", "databricks": "RANGE({})"}


def rows(temporary: Path) -> Iterator[Row]:
    """What each endpoint's rows take to be fetched, and to be fetched and written."""
    with started(temporary) as server:
        with Redis.from_url(server.url) as client:
            client.config_set("appendonly", "no")
        for engine, connect in CONNECT.items():
            if engine == "databricks" and (lacking := missing()):
                yield Row("fetch from Databricks' endpoint", 0.0, None, lacking)
                continue
            with _endpoint(engine, temporary) as (options, computed):
                warehouse = connect(**options)
                warehouse.execute([Statement("make", "CREATE SCHEMA bench")])
                for count in (ROWS, SOME, MANY):
                    query = f"SELECT {', '.join(COLUMNS)} FROM {FROM[engine]}".format(
                        count, **WORDS[engine]
                    )
                    warehouse.execute(
                        [Statement("make", f"CREATE TABLE bench.wide_{count} AS {query}")]
                    )
                warehouse.close()
                found = {
                    (what, count): _measured(engine, options, what, count, server.url, computed)
                    for what, count in [
                        ("", ROWS),
                        ("compare", ROWS),
                        *(("replace", n) for n in (ROWS, SOME, MANY)),
                    ]
                }
            limit = ROWS / LIMIT
            where = (
                f"{ROWS:,} rows x 10 from {engine.capitalize()}'{'s' * (engine == 'snowflake')}"
                " endpoint"
            )
            what = f"{LIMIT:,} rows a second"
            if engine == "databricks":
                not_counted = "not counted in the rows below"
                yield Row(
                    f"Spark computes {ROWS:,} rows before it gives one",
                    found["", ROWS][3],
                    None,
                    not_counted,
                )
            yield Row(f"fetch {where}", found["", ROWS][0], limit, what, 1.0)
            yield Row(f"fetch {where} and SET them", found["replace", ROWS][0], limit, what, 1.0)
            yield Row("the same, compare-and-set", found["compare", ROWS][0], limit, what)
            cpu = found["replace", ROWS][1] / ROWS * 1e9
            yield Row("SET, CPU of our process, a row", cpu, 1e9 / LIMIT, what, 1.0, "ns")
            some, many = (found["replace", count][2] for count in (SOME, MANY))
            yield Row(
                f"SET, peak memory with {MANY:,} rows", many, some, f"with {SOME:,} rows", 1.1, "MB"
            )


@contextmanager
def _endpoint(engine: str, temporary: Path) -> Iterator[tuple[dict[str, Any], Callable[[], float]]]:
    """A running one: how it is connected to, and for how many seconds it computed before it gave
    the first row of its newest result."""
    if engine == "databricks":
        with DatabricksEndpoint.start(temporary / engine) as endpoint:
            yield endpoint.options(), lambda: float(endpoint.history[-1]["milliseconds"]) / 1000
        return
    command = [
        sys.executable,
        "-m",
        "tests.endpoints.snowflake",
        "--database",
        str(temporary / "account.duckdb"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        place = urlsplit(process.stdout.readline().strip())
        where = {"host": place.hostname, "port": place.port, "protocol": "http", "account": "local"}
        who = {"user": "PLANE", "token": "a-token", "role": "PLANE_ROLE"}
        # It gives rows as they come.
        yield (
            {**where, **who, "warehouse": "COMPUTE", "database": "PLANE"},
            lambda: 0.0,
        )
    finally:
        process.terminate()
        process.wait()


def _measured(
    engine: str,
    options: dict[str, Any],
    what: str,
    count: int,
    url: str,
    computed: Callable[[], float],
) -> list[float]:
    """Seconds of wall clock from when there are rows, and of the process's CPU, its peak memory in
    MB, and the seconds before there were rows."""
    command = [
        sys.executable,
        "-m",
        "bench.fetching",
        engine,
        json.dumps(options),
        what,
        str(count),
        url,
    ]
    wall, cpu, memory = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    before = computed()
    return [wall - before, cpu, memory, before]


def _work(
    engine: str, options: dict[str, Any], what: str, count: int, url: str
) -> tuple[float, float]:
    warehouse = CONNECT[engine](**options)
    store = redis.connect(url=url, compare_and_set=what == "compare")
    store.write([])
    now = datetime.now(UTC)
    wall, cpu = time.perf_counter(), time.process_time()
    batches = warehouse.fetch(f"SELECT * FROM bench.wide_{count}")
    written = (
        store.write(_encoded(batches, now)).written
        if what
        else sum(batch.num_rows for batch in batches)
    )
    assert written == count
    return time.perf_counter() - wall, time.process_time() - cpu


def _encoded(batches: Iterator[pa.RecordBatch], now: datetime) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        shift = timedelta(0)
        yield from encode_batch(
            batch, LAYOUT, b"bench.local:users:0:", write_version=1, expiry_shift=shift, now=now
        )


if __name__ == "__main__":
    engine, options, what, count, url = sys.argv[1:]
    wall, cpu = _work(engine, json.loads(options), what, int(count), url)
    print(json.dumps([wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3]))
