"""Syncs of a shop's one view: what the tests of syncs and of comparisons do with store and rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from controlplane import ControlPlane, codec
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, WriteCount
from controlplane.base.types import micros, utc
from controlplane.control import ledger
from controlplane.manifest.specs import Manifest
from controlplane.online import syncing
from controlplane.release.program import Program, build
from controlplane.sql.views import render_view
from tests.shop import Shop

CORRECTED = (
    "DELETE FROM raw.payments WHERE user_id = 3",  # its only row: the key goes
    "UPDATE raw.payments SET amount = 35 WHERE user_id = 1 AND amount = 30",
    "DELETE FROM raw.payments WHERE user_id = 2",
    (
        "INSERT INTO raw.payments VALUES (2, TIMESTAMP '2024-01-01 09:00', 2, 'IT'), (4, TIMESTAMP"
        " '2024-01-03', 4, 'ES')"
    ),
)


def program(plane: ControlPlane) -> tuple[Program, Manifest]:
    manifest = plane.deployed()[1]
    return build(manifest, manifest.views[0]), manifest


def check(shop: Shop) -> dict[int, tuple[Any, ...] | None]:
    """That the store holds the newest rows of the warehouse, and the cursor their version.

    The values by user.
    """
    with ControlPlane(shop.folder) as plane:
        built, _ = program(plane)
        prefix = naming.online_prefix(built.namespace, built.view, built.fingerprint)
        table = f'features."{naming.latest(built.view, built.fingerprint)}"'
        rows = [
            row
            for batch in plane.project.warehouse.fetch(f"SELECT * FROM {table}")
            for row in batch.to_pylist()
        ]
        store = cast("OnlineStore", plane.project.store)
        found: dict[int, tuple[Any, ...] | None] = {}
        for row in rows:
            value = store.read(
                [codec.online_key(prefix, built.layout, {"user_id": row["user_id"]})]
            )[0]
            wanted = (
                None
                if row["is_deleted"]
                else tuple(row[field.name] for field in built.layout.fields)
            )
            if value is None:
                assert wanted is None
                found[row["user_id"]] = None
                continue
            decoded = codec.decode(value, built.layout)
            assert decoded.values == wanted
            assert decoded.effective_us == micros(utc(row["valid_from"]))
            found[row["user_id"]] = decoded.values
        assert {int(key[key.index(b"{") + 1 : -1]) for key in shop.stored()} <= set(found)
        cursor = store.get_fields(
            naming.cursor_hash(built.namespace, built.view, built.fingerprint)
        )
        assert int(cursor[b"version"]) == ledger.head(plane.project.warehouse, built.head).version
        return found


def compute_alone(folder: Path) -> None:
    """What a run does before it comes to the online store."""
    with ControlPlane(folder) as plane:
        plane.project.__dict__["store"] = None
        plane.run(recompute=True)


def lose(shop: Shop) -> None:
    """Have the store lose all that it holds of the project."""
    with shop.client() as client:
        for key in client.scan_iter(match=f"{naming.namespace(shop.name, 'local')}:*"):
            client.delete(key)


class Between:
    """An online store that lets something happen before the first write."""

    def __init__(self, store: OnlineStore | None, happens: Any) -> None:
        assert store is not None
        self._store, self._happens = store, happens

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        ready = list(batches)
        self._happens()
        return self._store.write(ready)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def direct(plane: ControlPlane, store: Any, *, full: bool = False) -> syncing.SyncReport:
    built, manifest = program(plane)
    sql = render_view(manifest, manifest.views[0]).sync
    return syncing.sync(
        built, plane.project.warehouse, store, sql, clock=lambda: datetime.now(UTC), full=full
    )
