"""Feast, in an environment of its own that is gone afterwards, on the same rows: its offline and
its online store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

CONSTRAINTS = Path(__file__).with_name("feast.txt")
STORE = """
project: bench
registry: registry.db
provider: local
offline_store: {type: duckdb}
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""
DEFINITIONS = """
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
for n in "abc":
    source = FileSource(name=f"s{n}", path=f"{FOLDER}/{n}.parquet", timestamp_field="event_timestamp")
    fields = [Field(name="user_id", dtype=Int64), Field(name=f"{n}_x", dtype=Float64),
              Field(name=f"{n}_n", dtype=Int64), Field(name=f"{n}_s", dtype=String)]
    globals()[f"fv{n}"] = FeatureView(
        name=f"fv{n}", entities=[user], ttl=None, source=source, online=False, schema=fields
    )
"""
ASK = """
import json, statistics, sys, time, warnings
warnings.simplefilter("ignore")
import pandas
from feast import FeatureStore

store = FeatureStore(".")
spine = pandas.read_parquet("../spine.parquet")
features = [f"fv{n}:{n}_{c}" for n in "abc" for c in "xns"]
times = []
for _ in range(int(sys.argv[1])):
    started = time.perf_counter()
    found = store.get_historical_features(entity_df=spine, features=features).to_arrow()
    times.append(time.perf_counter() - started)
print(json.dumps({"seconds": statistics.median(times), "rows": found.num_rows,
                  "sums": [float(found[f"{n}_n"].to_pandas().sum()) for n in "abc"]}))
"""

ONLINE_STORE = """
project: bench
registry: registry.db
provider: local
offline_store: {{type: file}}
online_store: {{type: redis, connection_string: "{place}"}}
entity_key_serialization_version: 3
"""
ONLINE_DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String

user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
KINDS = {"float64": Float64, "int64": Int64, "bool": Bool, "string": String, "array<float64>": Array(Float64)}
for n in "abc":
    source = FileSource(name=f"s{n}", path=f"{FOLDER}/online.parquet", timestamp_field="event_timestamp")
    fields = [Field(name=name, dtype=KINDS[kind]) for name, kind in COLUMNS.items()]
    globals()[f"fv{n}"] = FeatureView(
        name=f"fv{n}", entities=[user], ttl=timedelta(days=90), source=source, schema=fields
    )
"""
ASK_ONLINE = """
import json, statistics, sys, time, warnings
warnings.simplefilter("ignore")
from datetime import datetime
from feast import FeatureStore

store = FeatureStore(".")
columns, users = json.loads(sys.argv[1]), json.loads(sys.argv[2])
times = {}
for view in ("fva", "fvb", "fvc"):
    started = time.perf_counter()
    store.materialize(datetime(2020, 1, 1), datetime(2030, 1, 1), feature_views=[view])
    times.setdefault("write", []).append(time.perf_counter() - started)
features = [f"{view}:{name}" for view in ("fva", "fvb", "fvc") for name in columns]
for what, some in (("one", users[:1]), ("hundred", users)):
    for _ in range(50):
        started = time.perf_counter()
        asked = [{"user": user} for user in some]
        found = store.get_online_features(features=features, entity_rows=asked, full_feature_names=True).to_dict()
        times.setdefault(what, []).append(time.perf_counter() - started)
assert None not in found["fva__amount_0"], found["fva__amount_0"][:5]
print(json.dumps({what: statistics.median(seconds) for what, seconds in times.items()}))
"""


class Absent(Exception):
    """Feast could not be installed."""


def training(folder: Path, repeat: int = 3) -> tuple[float, int, list[float]]:
    """The seconds of one training set, its rows, and the sums of its integer features, from the
    parquet files of `folder` (`spine`, `a`, `b`, `c`).

    Raises:
        Absent: with the reason.
    """
    python = _python(folder, "duckdb")
    repository = _applied(python, folder, STORE, f"FOLDER = {str(folder)!r}\n{DEFINITIONS}")
    found = json.loads(_run([str(python), "-c", ASK, str(repeat)], repository).splitlines()[-1])
    return found["seconds"], found["rows"], found["sums"]


def online(folder: Path, place: str, columns: dict[str, str], users: list[str]) -> dict[str, float]:
    """The median seconds to `write` the rows of `online.parquet` in the folder, and to read `one`
    and `hundred` of its users from three views of them.

    Raises:
        Absent: with the reason.
    """
    python = _python(folder, "redis")
    definitions = f"FOLDER, COLUMNS = {str(folder)!r}, {columns!r}\n{ONLINE_DEFINITIONS}"
    repository = _applied(python, folder, ONLINE_STORE.format(place=place), definitions)
    asked = [str(python), "-c", ASK_ONLINE, json.dumps(list(columns)), json.dumps(users)]
    found: dict[str, float] = json.loads(_run(asked, repository).splitlines()[-1])
    return found


@contextmanager
def served(
    folder: Path, place: str, columns: Mapping[str, str]
) -> Iterator[tuple[psutil.Process, str]]:
    """Feast's own server with one worker, and its URL; it serves the rows of `online.parquet` in
    the folder in three views.

    Raises:
        Absent: with the reason.
    """
    python = _python(folder, "redis")
    definitions = f"FOLDER, COLUMNS = {str(folder)!r}, {dict(columns)!r}\n{ONLINE_DEFINITIONS}"
    repository = _applied(python, folder, ONLINE_STORE.format(place=place), definitions)
    command = str(python.with_name("feast"))
    _run([command, "materialize", "2020-01-01T00:00:00", "2030-01-01T00:00:00"], repository)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [
        command,
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--no-access-log",
    ]
    # Else its worker starts anew under way.
    serve += [
        "--max-requests",
        "0",
        "--max-requests-jitter",
        "0",
    ]
    with subprocess.Popen(
        serve, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            while True:
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if server.poll() is not None:
                    raise Absent("Feast's server does not start")
                time.sleep(0.1)
            yield psutil.Process(server.pid), f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _python(folder: Path, extra: str) -> Path:
    """The interpreter of a new environment with Feast."""
    python = folder / "venv" / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], folder)
        _run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "-c",
                str(CONSTRAINTS),
                f"feast[{extra}]",
            ],
            folder,
        )
    except (subprocess.CalledProcessError, OSError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise Absent(f"Feast can't be installed: {lines[-1] if lines else error}") from None
    return python


def _applied(python: Path, folder: Path, store: str, definitions: str) -> Path:
    """A repository of Feast's, registered."""
    repository = folder / "repository"  # it runs every Python file below it
    repository.mkdir()
    (repository / "feature_store.yaml").write_text(store)
    (repository / "definitions.py").write_text(definitions)
    _run([str(python.with_name("feast")), "apply"], repository)
    return repository


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "FEAST_USAGE": "False"}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout
