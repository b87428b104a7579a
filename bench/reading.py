"""Reading online: entities of three views and thirty features beside a bare MGET that decodes, and
beside Feast."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import redis

from bench import feast, online
from bench.rows import Row, by_turns
from bench.server import started
from connectors.redis.store import connect
from controlplane.base import naming
from controlplane.codec.batch import encode_batch
from controlplane.serving import OnlineReader, ServiceLayout, ViewLayout

ROWS, REPEAT = 100_000, 300
NAMESPACE, VERSION, VIEWS = "bench.local", "0123abcd", ("a", "b", "c")


def rows(temporary: Path) -> Iterator[Row]:
    """One entity and a hundred, by turns with the bare reads.

    And what Feast takes to write and to read the same.
    """
    online.data(temporary / "rows.arrow", ROWS)
    with started(temporary) as server:
        written = _write(temporary, server.url)
        hundred = {}
        for count, target in ((1, 2.0), (100, 1.5)):
            ours, raw = _reads(server.url, [f"user-{n}" for n in range(count)])
            hundred[count] = ours
            yield Row(
                f"read {count} x 3 views, 30 features", ours, raw, "redis-py MGET + decode", target
            )
        try:
            found = _feast(temporary, server.url)
        except feast.Absent as absent:
            yield Row("read 100 entities beside Feast", hundred[100], None, str(absent), 0.1)
        else:
            yield Row(
                "read 100 entities beside Feast", hundred[100], found["hundred"], "Feast's SDK", 0.1
            )
            yield Row("read 1 entity beside Feast", hundred[1], found["one"], "Feast's SDK")
            yield Row(
                f"sync {ROWS:,} x 10 beside Feast",
                written,
                found["write"],
                "Feast's materialize",
                0.05,
            )


def _batches(temporary: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(temporary / "rows.arrow")) as file, pa.ipc.open_stream(file) as batches:
        yield from batches


def _write(temporary: Path, url: str) -> float:
    """Write all views, and return the seconds of the last."""
    store, now, took = connect(url=url), datetime.now(UTC), 0.0
    for view in VIEWS:
        prefix = naming.online_prefix(NAMESPACE, view, VERSION)
        started = time.perf_counter()
        store.write(
            records
            for batch in _batches(temporary)
            for records in encode_batch(
                batch, online.LAYOUT, prefix, write_version=1, expiry_shift=timedelta(0), now=now
            )
        )
        took = time.perf_counter() - started
    store.close()
    return took


def _reads(url: str, users: list[str]) -> tuple[float, float]:
    features = tuple(field.name for field in online.LAYOUT.fields)
    views = tuple(ViewLayout(view, VERSION, online.LAYOUT, features) for view in VIEWS)
    store = connect(url=url)
    reader = OnlineReader(
        store, ServiceLayout("thirty", NAMESPACE, views), lambda: datetime.now(UTC)
    )
    requests = [{"user": user} for user in users]
    keys = [
        b"bench.local:%s:0123abcd:{%s}" % (view.encode(), user.encode())
        for user in users
        for view in VIEWS
    ]
    decode = msgspec.msgpack.Decoder().decode
    with redis.Redis.from_url(url, protocol=2) as client:

        def raw() -> list[object]:
            found = client.mget(keys)
            assert isinstance(found, list)
            return [decode(value) for value in found]

        assert len(raw()) == 3 * len(users)
        assert reader.get(requests)[-1]["a__count_0"] is not None
        found = by_turns(lambda: reader.get(requests), raw, REPEAT)
    store.close()
    return found


def _feast(temporary: Path, url: str) -> dict[str, float]:
    """The same rows in Feast's own form, in the same server."""
    table = pa.Table.from_batches(_batches(temporary))
    table = table.drop_columns(["valid_from", "expires_at", "is_deleted"])
    stamps = pa.array([datetime.now(UTC)] * len(table), pa.timestamp("us", "UTC"))
    complete = pc.drop_null(table)
    pq.write_table(table.append_column("event_timestamp", stamps), temporary / "online.parquet")
    users = complete.column("user").slice(0, 100).to_pylist()
    place = urlsplit(url)
    return feast.online(temporary, f"{place.hostname}:{place.port}", dict(online.KINDS), users)
