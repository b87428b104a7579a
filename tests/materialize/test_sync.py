"""What the online store holds after a run: always what the warehouse's newest rows say, whatever
happened to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from controlplane import ControlPlane
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Statement, StoreInfo, WriteCount
from controlplane.errors import TransientError
from controlplane.materialize.run import bring_online
from controlplane.online import syncing
from controlplane.online.removal import remove_version
from controlplane.sql.views import render_view
from tests.children import CHILDREN
from tests.materialize.syncs import CORRECTED, Between, check, compute_alone, direct, lose, program
from tests.shop import PAYMENTS, TYPED, Shop


class Fuse:
    """An online store that passes everything on, and kills the process before or after call number
    `last`.

    Writes are passed on two records at a time, so that it can also die between two round trips.
    """

    def __init__(self, store: OnlineStore, last: int) -> None:
        self._store, self._last = store, last
        self.seen: list[str] = []

    def _step(self, name: str) -> None:
        if len(self.seen) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(name)

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        total = WriteCount()
        self._step("before writing")
        for batch in batches:
            for start in range(0, batch.num_rows, 2):
                count = self._store.write([batch.slice(start, 2)])
                total = WriteCount(
                    total.written + count.written, total.kept_newer + count.kept_newer
                )
                self._step("written")
        return total

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        self._step(f"before reading {name!r}")
        return self._store.get_fields(name)

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        self._step(f"before setting {name!r}")
        done = self._store.set_fields(name, fields, expected)
        self._step(f"set {name!r}")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def sync(folder: Path, last: int, full: bool) -> list[str]:
    """Bring the view online, and die on the way."""
    with ControlPlane(folder) as plane:
        built, manifest = program(plane)
        rendered = render_view(manifest, manifest.views[0])
        fuse = Fuse(cast("OnlineStore", plane.project.store), last)
        sql = {"sync": rendered.sync, "doors": rendered.doors}
        project = plane.project
        store = cast("OnlineStore", fuse)
        bring_online(
            built, sql, project.warehouse, store, now=project.now(), clock=project.clock, full=full
        )
        return fuse.seen


@pytest.mark.parametrize("state", ["first", "corrected", "lost"])
def test_a_killed_sync_is_healed_by_the_next_run(make, state):
    def prepared() -> Shop:
        shop: Shop = make()
        shop.plane("deploy")
        if state == "first":
            compute_alone(shop.folder)
            return shop
        shop.plane("run")
        shop.sql(*CORRECTED)
        compute_alone(shop.folder)
        if state == "lost":
            lose(shop)
        return shop

    whole = prepared()
    steps = sync(whole.folder, -1, False)
    wanted = check(whole)
    assert len(steps) > 6
    shop = prepared()
    for number, step in enumerate(steps):
        if number:
            lose(shop)
            if state == "corrected":
                shop.sql(PAYMENTS, TYPED)
                compute_alone(shop.folder)
                sync(shop.folder, -1, False)
                shop.sql(*CORRECTED)
                compute_alone(shop.folder)
        child = CHILDREN.Process(target=sync, args=(shop.folder, number, False))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL, step
        sync(shop.folder, -1, False)
        assert check(shop) == wanted, step


def test_healing_is_seen_online(shop):
    shop.ready()
    assert shop.get(3) == {"count_1d": 1, "amount_sum_2d": 40, "country": "DE"}
    assert shop.get(2) == {"count_1d": 0, "amount_sum_2d": None, "country": "FR"}
    shop.sql(*CORRECTED)
    [run] = shop.plane("run", "--recompute", "--json").json
    assert run["synced"]["kept_newer"] == 0
    # A deleted key is missing, and another's newest row now lies further back.
    assert shop.get(3) == {"count_1d": 0, "amount_sum_2d": None, "country": None}
    assert shop.get(2) == {"count_1d": 0, "amount_sum_2d": None, "country": "IT"}
    assert shop.get(1)["amount_sum_2d"] == 35
    assert shop.get(4)["country"] == "ES"
    found = check(shop)
    assert found[3] is None
    assert shop.plane("run", "--json").json[0]["synced"]["rows"] == 0


def test_a_lost_store_is_filled_again_by_the_next_run(shop):
    shop.ready()
    before = shop.stored()
    lose(shop)
    assert shop.get(1)["country"] is None
    status = shop.plane("status", "--json").json[0]
    assert (status["state"], status["sync_lag"]) == ("up to date", None)
    [run] = shop.plane("run", "--json").json
    assert (run["computed"], run["synced"]["written"]) == ([], 3)
    assert shop.stored() == before
    check(shop)


def test_resync_writes_what_somebody_else_has_removed(shop):
    shop.ready()
    before = shop.stored()
    with shop.client() as client:
        client.delete(next(iter(before)))
    assert shop.plane("run", "--json").json[0]["synced"]["rows"] == 0
    assert shop.stored() != before
    assert shop.plane("run", "--resync", "--json").json[0]["synced"]["rows"] == 3
    assert shop.stored() == before


def test_a_slow_sync_overwrites_nothing_newer(shop):
    shop.plane("deploy")
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:

        def overtake() -> None:
            plane.project.warehouse.execute([Statement("correct", sql) for sql in CORRECTED])
            plane.run(recompute=True)

        report = direct(plane, Between(plane.project.store, overtake))
        assert report.written == 0
        assert report.kept_newer == 3
        assert direct(plane, plane.project.store).rows == 0  # the cursor has not gone back
    check(shop)
    assert shop.get(1)["amount_sum_2d"] == 35


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_store_that_loses_values_during_a_sync(shop, full, first):
    shop.plane("deploy") if first else shop.ready()
    shop.sql(*CORRECTED)
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:
        with pytest.raises(TransientError) as raised:
            direct(plane, Between(plane.project.store, lambda: lose(shop)), full=full)
        assert (
            raised.value.message
            == "feature view 'spend': the online store lost values while it was written"
        )
        direct(plane, plane.project.store)
    check(shop)


class Removed(Exception):
    """Somebody who removes values is killed here."""


class Removing:
    """Removes one key, and then dies."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def remove(self, names: Sequence[bytes]) -> int:
        self._store.remove(names[:1])
        raise Removed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("by", ["a flush", "a removal"])
def test_values_that_are_lost_between_the_writes_and_the_cursor(shop, by):
    shop.plane("deploy")
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:
        store: Any = plane.project.store
        built, _ = program(plane)

        class Lost(Between):
            def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
                count = super().write(batches)
                if by == "a flush":  # and another sync has begun since
                    lose(shop)
                    cursor = naming.cursor_hash(built.namespace, built.view, built.fingerprint)
                    store.set_fields(cursor, {b"token": b"another's"})
                else:
                    dying = cast("OnlineStore", Removing(store))
                    with pytest.raises(Removed):
                        remove_version(dying, built.namespace, built.view, built.fingerprint)
                return count

        with pytest.raises(TransientError, match="lost values while it was written"):
            direct(plane, Lost(store, lambda: None))
        assert direct(plane, store).rows == 3
    check(shop)


class Configured:
    """A store that says something else of itself."""

    def __init__(
        self, store: OnlineStore | None, changes: Mapping[str, Any] | None = None, **others: Any
    ) -> None:
        self._store, self._changes = store, others if changes is None else changes

    def info(self) -> StoreInfo:
        told = {
            "version": "7",
            "eviction_policy": "noeviction",
            "used_memory": 0,
            "max_memory": 0,
            "evicted_keys": 0,
        }
        return StoreInfo(**{**told, **self._changes})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_store_that_hides_its_policy_or_has_evicted_keys_is_warned_of(shop):
    shop.plane("deploy")
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:
        assert direct(plane, Configured(plane.project.store)).warnings == []
        [unknown] = direct(plane, Configured(plane.project.store, eviction_policy="")).warnings
        [evicted] = direct(plane, Configured(plane.project.store, evicted_keys=7)).warnings
    assert unknown.startswith("the online store: its eviction policy is not known; ")
    assert (
        evicted == "the online store: 7 keys were evicted since the server started; "
        "give it more memory, then write all keys again: plane run --resync"
    )


def test_servers_one_of_which_has_failed_over_get_all_keys_again(shop):
    shop.plane("deploy")
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:
        store = plane.project.store

        def synced(epoch: str, *, spread: bool) -> syncing.SyncReport:
            return direct(plane, Configured(store, epoch=epoch, spread=spread))

        assert synced("one", spread=True).rows == 3
        with shop.client() as client:
            client.delete(next(iter(shop.stored())))  # acknowledged, and not yet at the replica
        assert synced("one", spread=True).rows == 0
        # A single server that has lost values has lost the cursor, which was written after them.
        assert synced("two", spread=False).rows == 0
        report = synced("three", spread=True)
        assert report.rows == 3
        assert "all keys were written again" in report.warnings[0]
        assert synced("three", spread=True).rows == 0
    check(shop)


def test_a_server_that_fails_over_during_a_sync(shop):
    shop.plane("deploy")
    compute_alone(shop.folder)
    with ControlPlane(shop.folder) as plane:
        changes = {"epoch": "one"}
        store: Any = Configured(plane.project.store, changes)
        with pytest.raises(TransientError, match="lost values while it was written"):
            direct(plane, Between(store, lambda: changes.update(epoch="two")))
        assert direct(plane, store).rows == 3
    check(shop)


def test_nothing_is_written_where_the_server_drops_values(shop):
    shop.plane("deploy")
    with shop.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            err = shop.fails("run")
            assert shop.stored() == {}
            doctor = shop.plane("doctor", "--json", code=1).json
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "the server may drop feature values without an error; nothing was written" in err
    assert "  -> set maxmemory-policy to noeviction, or to a volatile-* policy" in err
    [found] = [finding for finding in doctor if finding["level"] == "error"]
    assert (
        found["message"]
        == "maxmemory-policy is allkeys-lru: the server may drop feature values without an error"
    )
    [run] = shop.plane("run", "--json").json
    assert (run["computed"], run["synced"]["written"]) == ([], 3)
    check(shop)
