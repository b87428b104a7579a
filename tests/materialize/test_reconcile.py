"""Comparing the online store with the warehouse: what is wrong is found and healed.

What a sync just writes is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane import ControlPlane, codec
from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Statement
from controlplane.errors import PlaneError
from controlplane.online.reconcile import Reconciled, reconcile
from controlplane.sql.views import render_view
from tests.codec.rows import value
from tests.materialize.syncs import check, direct, lose, program
from tests.shop import Shop

KINDS = ("right", "newer", "pending", "missing", "wrong", "expiry", "extra", "healed")
CORRECTED = (
    "UPDATE raw.payments SET amount = 35 WHERE user_id = 1 AND amount = 30",
    "INSERT INTO raw.payments VALUES (4, TIMESTAMP '2024-01-03', 4, 'ES')",
)


@pytest.fixture
def plane(shop: Shop) -> Iterator[ControlPlane]:
    """The shop, deployed and computed."""
    with ControlPlane(shop.folder) as opened:
        opened.deploy()
        opened.run()
        yield opened


def counts(found: Reconciled) -> dict[str, int]:
    """What is not none."""
    return {kind: getattr(found, kind) for kind in KINDS if getattr(found, kind)}


def verified(plane: ControlPlane, *, heal: bool = False) -> dict[str, int]:
    [one] = plane.online.verify(heal=heal).versions
    assert one.rows == 3
    return counts(one)


def key(plane: ControlPlane, user: int) -> bytes:
    built, _ = program(plane)
    prefix = naming.online_prefix(built.namespace, built.view, built.fingerprint)
    return codec.online_key(prefix, built.layout, {"user_id": user})


def correct(plane: ControlPlane) -> None:
    """What a run does of corrected rows before it comes to the online store."""
    plane.project.warehouse.execute([Statement("correct", sql) for sql in CORRECTED])
    store = plane.project.store
    plane.project.__dict__["store"] = None
    plane.run(recompute=True)
    plane.project.__dict__["store"] = store


def test_what_is_wrong_is_told_and_healed(plane, shop):
    assert verified(plane) == {"right": 3}
    with shop.client() as client:
        damaged = bytearray(client.get(key(plane, 1)))
        damaged[-1] ^= 1
        client.set(key(plane, 1), bytes(damaged))
        client.delete(key(plane, 2))
        client.expire(key(plane, 3), 1_000)
        client.set(key(plane, 99), value(5, 1, 1, "DE"))
        client.set(key(plane, 98), b"junk")
        client.set(key(plane, 97), codec.tombstone(5, 1))
    bad = {"wrong": 1, "missing": 1, "expiry": 1, "extra": 2}
    assert verified(plane) == bad
    assert verified(plane, heal=True) == bad | {"healed": 5}
    assert verified(plane) == {"right": 3}
    assert plane.get("shop", {"user_id": 99})["spend__country"] is None
    assert plane.get("shop", {"user_id": 1})["spend__country"] == "NO"
    with shop.client() as client:  # buried for a week
        assert client.delete(*(key(plane, user) for user in (97, 98, 99))) == 3
    plane.close()
    check(shop)


def test_the_command_says_so(plane, shop):
    with shop.client() as client:
        client.delete(key(plane, 2))
    plane.close()
    found = shop.plane("online", "verify", "--json", code=1).json
    assert found["unhealed"] == 1
    assert (found["versions"][0]["served"], found["versions"][0]["missing"]) == (True, 1)
    told = shop.plane("online", "verify", "spend", code=1)
    assert "Keys that differ from the warehouse: 1" in told.out
    assert "3 of 3 rows" in told.err
    assert "Redis agrees with the warehouse." in shop.plane("online", "verify", "--heal").out


def test_a_lost_store_is_told_and_healed(plane, shop):
    lose(shop)
    assert verified(plane) == {"missing": 3}
    assert verified(plane, heal=True) == {"missing": 3, "healed": 3}
    assert len(shop.stored()) == 3


def test_what_was_published_since_the_last_sync_is_not_wrong(plane):
    correct(plane)
    [found] = plane.online.verify(heal=True).versions
    assert (found.rows, found.unhealed) == (4, 0)
    assert counts(found) == {"right": 2, "pending": 2}
    plane.run()
    assert counts(plane.online.verify().versions[0]) == {"right": 4}


def test_a_value_of_a_version_that_never_was_is_wrong(plane, shop):
    with shop.client() as client:
        client.set(key(plane, 1), value(2**62, 1, 1, "DE"))
    assert verified(plane, heal=True) == {"right": 2, "wrong": 1}


class Meanwhile:
    """An online store in which something happens before the first read of values."""

    def __init__(self, store: OnlineStore | None, happens: Callable[[], None]) -> None:
        assert store is not None
        self._store, self._happens = store, [happens]

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        while self._happens:
            self._happens.pop()()
        return self._store.read(keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("heal", [False, True])
def test_what_a_sync_writes_meanwhile_is_newer_and_stays(plane, shop, heal):
    def overtake() -> None:
        correct(plane)
        direct(plane, plane.project.store)

    built, manifest = program(plane)
    found = reconcile(
        built,
        plane.project.warehouse,
        Meanwhile(plane.project.store, overtake),
        render_view(manifest, manifest.views[0]).sync,
        served=True,
        clock=lambda: datetime.now(UTC),
        heal=heal,
    )
    assert found.rows == 3
    assert counts(found) == {"right": 2, "newer": 1}
    plane.close()
    check(shop)


def test_both_versions_are_compared_while_the_old_one_serves(plane, shop):
    [first] = plane.online.verify().versions
    assert first.served
    shop.redefine(('"sum", "amount", windows=["2d"]', '"sum", "amount", windows=["3d"]'))
    plane.deploy()
    assert plane.online.verify().versions == [first]
    plane.run()
    new, old = plane.online.verify().versions
    assert (new.served, old.served, old.fingerprint) == (True, False, first.fingerprint)
    assert (new.right, old.right) == (3, 3)


def test_what_cannot_be_compared_is_told(shop, make):
    with ControlPlane(shop.folder) as plane:
        with pytest.raises(PlaneError, match="nothing is deployed"):
            plane.online.verify()
        plane.deploy()
        with pytest.raises(PlaneError, match="there is no feature view"):
            plane.online.verify(["none"])
    with (
        ControlPlane(make(online=None).folder) as plane,
        pytest.raises(PlaneError, match="no online store"),
    ):
        plane.online.verify()
