"""The feature server: what a request costs it, beside an ASGI application that answers a
constant."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import psutil
import redis

from bench import feast, online, projects
from bench.rows import Row
from bench.server import started
from controlplane import ControlPlane
from controlplane.server.load import Measured, measure, post

ENTITIES, CONNECTIONS, REPEAT, SECONDS = 2_000, 32, 9, 1.0
HEAD = """
from controlplane import Aggregate, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "team@example.com"
user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at")
features = [Aggregate("count", windows=["1d", "7d"])]
features += [Aggregate(kind, "amount", windows=["1d", "7d"]) for kind in ("sum", "mean", "min", "max")]
"""
VIEW = """

@batch_feature_view(
    entities=[user], sources=[payments], schedule="1d", start="2024-01-01", features=features, owner=OWNER
)
def {name}(payments):
    return f"SELECT user_id, paid_at, amount FROM {{payments}}"
"""
VIEWS = ("spend_a", "spend_b", "spend_c")
DEFINITIONS = HEAD + "".join(VIEW.format(name=name) for name in VIEWS)
DEFINITIONS += (
    f"""thirty = FeatureService("thirty", features=[{", ".join(VIEWS)}], owner=OWNER)\n"""
)
LOAD = f"""CREATE TABLE raw.payments AS
SELECT i % {ENTITIES} AS user_id, TIMESTAMP '2024-01-01' + INTERVAL (i % 200) HOUR AS paid_at, i / 7.0 AS amount
FROM range({ENTITIES * 10}) AS r(i)"""
CONSTANT = """
import sys, uvicorn

BODY = sys.argv[2].encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def application(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


uvicorn.run(application, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", access_log=False,
            log_level="critical", proxy_headers=False, server_header=False, date_header=False)
"""
PLANE = "import sys; from controlplane.cli.app import main; sys.exit(main())"


def rows(temporary: Path) -> Iterator[Row]:
    """One entity of three views and thirty features in a request, over 32 connections."""
    folder = projects.make(temporary / "project", DEFINITIONS, LOAD, "2024-01-10T00:00:00Z")
    with started(temporary) as server:
        settings = folder / "plane.toml"
        settings.write_text(
            settings.read_text() + f'online = {{ kind = "redis", url = "{server.url}" }}\n'
        )
        with ControlPlane(folder) as plane:
            plane.deploy()
            plane.run()
            answer = json.dumps(
                {"vectors": [plane.get("thirty", {"user_id": 1}).to_dict()]}, default=str
            )
        with _started(folder, "-c", PLANE, "serve", "--port", "0", "--json") as (ours, url):
            port = int(url.rpartition(":")[2]) + 1
            with _started(folder, "-c", CONSTANT, str(port), answer) as (other, _):
                yield from _compared(url, ours, f"http://127.0.0.1:{port}", other)
            yield _beside_a_sync(url, temporary, server.url)
            yield from _beside_feast(url, ours, temporary, server.url)


def _compared(
    url: str, ours: psutil.Process, constant: str, other: psutil.Process
) -> Iterator[Row]:
    spent: dict[str, list[float]] = {"ours": [], "constant": [], "hundred": []}
    answers: list[Measured] = []
    for _ in range(REPEAT):
        found, cpu = _asked(url, ours)
        answers.append(found)
        spent["ours"].append(cpu)
        spent["constant"].append(_asked(constant, other)[1])
        spent["hundred"].append(_asked(url, ours, batch=100)[1])
    one, floor, hundred = (
        statistics.median(spent[name]) for name in ("ours", "constant", "hundred")
    )
    yield Row(
        "HTTP read of 1 entity x 30 features, CPU of the server",
        one,
        80.0,
        "the target: 80 us",
        1.0,
        "us",
    )
    yield Row(
        "the same beside a constant answer",
        one,
        floor,
        "bare ASGI that answers a constant",
        None,
        "us",
    )
    yield Row(
        "HTTP read of 100 entities, CPU of the server, an entity",
        hundred / 100,
        one,
        "1 entity",
        None,
        "us",
    )
    p99 = statistics.median(found.percentile(0.99) for found in answers)
    rate = statistics.median(found.per_second for found in answers)
    yield Row(
        "HTTP read of 1 entity, p99 at 32 connections",
        p99,
        None,
        f"{rate:,.0f} responses per second",
        None,
        "ms",
    )


def _asked(url: str, process: psutil.Process, batch: int = 1) -> tuple[Measured, float]:
    """What came, and the microseconds of the server's CPU for each answer."""
    users = [{"user_id": n} for n in range(ENTITIES)]
    return _spent(
        process,
        lambda: measure(
            url, "thirty", users, batch=batch, concurrency=CONNECTIONS, seconds=SECONDS
        ),
    )


def _spent(process: psutil.Process, asked: Callable[[], Measured]) -> tuple[Measured, float]:
    before = _cpu(process)
    found = asked()
    spent = _cpu(process) - before
    assert set(found.codes) == {200}, found.codes
    return found, spent / len(found.milliseconds) * 1e6


def _cpu(process: psutil.Process) -> float:
    """Seconds of it and of its workers."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _beside_a_sync(url: str, temporary: Path, store: str) -> Row:
    """The same while one process writes another view into the same server as fast as it can."""
    online.data(temporary / "rows.arrow")
    users = [{"user_id": n} for n in range(ENTITIES)]
    with redis.Redis.from_url(store) as client:
        before = client.dbsize()
        command = [
            sys.executable,
            "-m",
            "bench.online",
            "ours",
            "compare",
            str(temporary / "rows.arrow"),
            store,
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sync:
            while client.dbsize() == before and sync.poll() is None:
                time.sleep(0.01)
            found = measure(url, "thirty", users, concurrency=CONNECTIONS, seconds=3 * SECONDS)
            assert sync.poll() is None, "the sync ended before the reads did"
            assert sync.wait() == 0, "the sync failed"
    said = f"{found.per_second:,.0f} responses per second beside a sync of {online.ROWS:,} rows"
    return Row(
        "HTTP read of 1 entity, p99 beside a sync at full speed",
        found.percentile(0.99),
        None,
        said,
        None,
        "ms",
    )


def _beside_feast(url: str, ours: psutil.Process, temporary: Path, store: str) -> Iterator[Row]:
    """The same by turns with Feast's server, which is asked for the same rows in its own shape."""
    with duckdb.connect() as connection:
        connection.execute(
            f"ATTACH '{projects.warehouse(temporary / 'project')}' AS bench (READ_ONLY)"
        )
        latest = "bench.features.spend_a__latest"
        found = (
            f"SELECT CAST(user_id AS VARCHAR) AS user, now() AS event_timestamp, * FROM {latest}"
        )
        connection.execute(f"COPY ({found}) TO '{temporary / 'online.parquet'}'")
        columns = {
            name: {"BIGINT": "int64", "DOUBLE": "float64"}[kind]
            for name, kind, *_ in connection.execute(f"DESCRIBE {latest}").fetchall()
            if name.startswith(("count", "amount"))
        }
    chance = random.Random(1)
    wanted = [f"{view}:{name}" for view in ("fva", "fvb", "fvc") for name in columns]
    bodies = [
        json.dumps(
            {"features": wanted, "full_feature_names": True, "entities": {"user": [str(user)]}}
        ).encode()
        for user in chance.choices(range(ENTITIES), k=1000)
    ]
    place = urlsplit(store)
    spent: tuple[list[float], list[float]] = ([], [])
    try:
        with feast.served(temporary, f"{place.hostname}:{place.port}", columns) as (
            process,
            theirs,
        ):
            asked = f"{theirs}/get-online-features"
            post(asked, bodies, 1, SECONDS, patience=60)  # its worker is there when it answers
            for _ in range(REPEAT):
                spent[0].append(_asked(url, ours)[1])
                spent[1].append(
                    _spent(process, lambda: post(asked, bodies, CONNECTIONS, 3 * SECONDS))[1]
                )
    except feast.Absent as absent:
        yield Row(
            "HTTP read of 1 entity, CPU of the server beside Feast's",
            _asked(url, ours)[1],
            None,
            str(absent),
            0.1,
            "us",
        )
        return
    one, other = map(statistics.median, spent)
    yield Row(
        "HTTP read of 1 entity, CPU of the server beside Feast's",
        one,
        other,
        "Feast's server, one worker",
        0.1,
        "us",
    )


@contextmanager
def _started(folder: Path, *arguments: str) -> Iterator[tuple[psutil.Process, str]]:
    """A process that serves, and the URL that it prints, if it does."""
    started = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        url = ""
        if "serve" in arguments and started.stdout is not None:
            shown = "".join(iter(started.stdout.readline, "}\n")) + "}"
            url = json.loads(shown)["url"]
        time.sleep(3)
        yield psutil.Process(started.pid), url
    finally:
        started.terminate()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()
