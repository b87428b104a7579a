"""The first example's data, computed, trained on and read, against the same by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import redis

from bench.rows import Row, seconds
from controlplane import ControlPlane
from controlplane.base.types import Interval

EXAMPLE = Path(__file__).parents[1] / "examples" / "01-flights"
LAST = datetime(2014, 1, 1, 4, tzinfo=UTC)


def prepared(folder: Path) -> None:
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".plane", "__pycache__"))
    (folder / ".plane").mkdir()
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        connection.execute((folder / "load.sql").read_text().replace("'data/", f"'{folder}/data/"))


def rows(temporary: Path) -> Iterator[Row]:
    folder = temporary / "flights"
    prepared(folder)
    try:
        yield from _rows(folder)
    finally:
        with ControlPlane(folder) as plane:
            plane.stop_servers()


def _rows(folder: Path) -> Iterator[Row]:
    with ControlPlane(folder) as plane:
        plane.deploy()
        year = seconds(lambda: plane.run(["airport_delays", "carrier_delays"]), 1)
        hour = Interval(LAST, LAST + timedelta(hours=1))
        one = seconds(
            lambda: plane.run(["airport_delays", "carrier_delays"], within=hour, recompute=True)
        )
        yield Row("recompute one hour of a year", one, year, "the whole year at once", 0.2)
        plane.run()
        yield _training(plane, folder)
    yield from _online(folder)


def _training(plane: ControlPlane, folder: Path) -> Row:
    spine = (folder / "spine.sql").read_text()
    ours = seconds(
        lambda: plane.create_dataset(
            "bench", service="late_arrival", spine=spine, time="predict_at"
        ),
    )
    manifest = plane.deployed()[1]
    joins, columns = [], []
    for index, view in enumerate(manifest.views):
        keys = " AND ".join(f"s.{key} = h{index}.{key}" for key, _ in view.keys)
        table = f"features.{view.name}__history"
        joins.append(
            f"ASOF LEFT JOIN {table} h{index} ON {keys} AND s.predict_at >= h{index}.valid_from"
        )
        columns += [
            f"h{index}.{feature.name} AS {view.name}__{feature.name}" for feature in view.features
        ]
    query = (
        f"CREATE OR REPLACE TABLE raw_set AS SELECT s.*, {', '.join(columns)} FROM ({spine}) s"
        f" {' '.join(joins)}"
    )
    plane.close()
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        connection.execute("SET asof_loop_join_threshold = 0")
        by_hand = seconds(lambda: connection.execute(query))
    return Row("training set, 336,776 rows x 5 views", ours, by_hand, "ASOF joins by hand", 1.5)


def _online(folder: Path) -> Iterator[Row]:
    with ControlPlane(folder) as plane:
        decode = msgspec.msgpack.Decoder().decode
        reader = plane.reader("late_arrival")
        online = plane.project.online_config() or {}
        client = redis.Redis.from_url(online["url"], password=online.get("password"), protocol=2)
        found = [key for key in client.scan_iter(count=1000) if b"{" in key]
        prefixes = sorted({key.split(b"{")[0] for key in found})
        tails = sorted(
            {key.split(b"{")[1][:-1].decode() for key in found if b":aircraft_registry:" in key}
        )
        for count, target in ((1, 3.0), (100, 3.0)):
            requests = [
                {"origin": "JFK", "carrier": "B6", "tailnum": tail} for tail in tails[:count]
            ]
            keys = [_key(prefix, request) for request in requests for prefix in prefixes]

            def raw(keys: list[bytes] = keys) -> object:
                return [decode(value) for value in client.mget(keys) if isinstance(value, bytes)]

            def ours(requests: list[dict[str, str]] = requests) -> object:
                return reader.get(requests)

            yield Row(
                f"read {count} x 5 views online",
                seconds(ours, 200),
                seconds(raw, 200),
                "redis-py MGET + decode",
                target,
            )


def _key(prefix: bytes, request: dict[str, str]) -> bytes:
    view = prefix.split(b":")[1].decode()
    name = next(
        key
        for word, key in (("airport", "origin"), ("carrier", "carrier"), ("aircraft", "tailnum"))
        if word in view
    )
    return prefix + b"{" + request[name].encode() + b"}"
