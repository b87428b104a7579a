"""Feast with its DuckDB offline store, in an environment of its own that is gone afterwards, on the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


class Absent(Exception):
    """Feast could not be installed."""


def training(folder: Path, repeat: int = 3) -> tuple[float, int, list[float]]:
    """The seconds of one training set, its rows, and the sums of its integer features, from the parquet files of
    `folder` (`spine`, `a`, `b`, `c`).

    Raises:
        Absent: with the reason.
    """
    python = folder / "venv" / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], folder)
        _run(
            [uv, "pip", "install", "--quiet", "--python", str(python), "-c", str(CONSTRAINTS), "feast[duckdb]"], folder
        )
    except (subprocess.CalledProcessError, OSError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise Absent(f"Feast can't be installed: {lines[-1] if lines else error}") from None
    repository = folder / "repository"  # it runs every Python file below it
    repository.mkdir()
    (repository / "feature_store.yaml").write_text(STORE)
    (repository / "definitions.py").write_text(f"FOLDER = {str(folder)!r}\n{DEFINITIONS}")
    _run([str(python.with_name("feast")), "apply"], repository)
    found = json.loads(_run([str(python), "-c", ASK, str(repeat)], repository).splitlines()[-1])
    return found["seconds"], found["rows"], found["sums"]


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "FEAST_USAGE": "False"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
