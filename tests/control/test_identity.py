"""Warehouses that meet in one online store are told apart, and none overwrites another's values."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import ControlPlane
from controlplane.base.naming import claim_hash, cursor_hash
from controlplane.base.ports import Statement
from controlplane.control import identity
from controlplane.control.identity import Identity
from controlplane.errors import PlaneError
from controlplane.online.records import Claim
from tests.control.team import Team
from tests.shop import Shop

LATER = datetime(2024, 1, 5, tzinfo=UTC)
DOUBLED = "UPDATE raw.payments SET amount = 2 * amount"
RIGHT = {"count_1d": 1, "amount_sum_2d": 30, "country": "NO"}


@pytest.fixture
def two(make) -> tuple[Shop, Shop]:
    """Two laptops: a warehouse each, the same names of project and environment, one Redis."""
    ours, theirs = make(), make()
    theirs.resettle((theirs.name, ours.name))
    theirs.name = ours.name
    theirs.sql(DOUBLED)
    ours.ready()
    theirs.plane("deploy", "--yes")
    return ours, theirs


def test_a9_another_warehouse_writes_the_same_keys(two):
    """Case A9: the second warehouse is refused everywhere, and told whose the values are."""
    ours, theirs = two
    before = ours.stored()
    said = theirs.fails("run")
    [[mine]] = ours.sql("SELECT id FROM _plane.identity")
    [[other]] = theirs.sql("SELECT id FROM _plane.identity")
    assert mine != other
    for text in (mine, other, "schema features", "first deployed by", "synced since"):
        assert text in said
    assert "give this environment another name" in said
    assert "`plane online take-over`" in said
    assert mine in theirs.fails("run", "--resync")
    assert mine in theirs.fails("online", "verify")
    assert mine in theirs.fails("online", "verify", "--heal")
    assert mine in theirs.fails("forget", "--key", "user_id=1", "--yes")
    assert mine in theirs.fails("online", "clean")
    assert ours.stored() == before
    [status] = theirs.plane("status", "--json").json
    assert status["state"] == "damaged"
    assert mine in status["problems"][0]
    assert mine in theirs.plane("plan").err
    [finding] = [f for f in theirs.plane("doctor", "--json", code=1).json if f["level"] == "error"]
    assert finding["subject"] == "online store"
    assert mine in finding["message"]
    assert "nothing to do" in ours.plane("run").out
    assert ours.get(1) == RIGHT


def test_a9_a_take_over_replaces_every_value_and_refuses_the_other(two):
    """Case A9: values of the other warehouse are newer than all of ours; they are replaced too."""
    ours, theirs = two
    theirs.fails("run")
    # The first laptop's values are the newer ones now, and it has a key that the second lacks.
    ours.sql("INSERT INTO raw.payments VALUES (9, TIMESTAMP '2024-01-04 12:00', 90, 'IT')")
    ours.plane("run", "--recompute")
    assert ours.get(9)["amount_sum_2d"] == 90
    assert "pass --yes" in theirs.fails("online", "take-over")
    done = theirs.plane("online", "take-over", "--yes", "--json").json
    assert [version["unhealed"] for version in done["versions"]] == [0]
    assert done["before"]["schema"] == "features"
    assert theirs.get(1) == {**RIGHT, "amount_sum_2d": 60}
    assert theirs.get(9)["amount_sum_2d"] is None
    assert "agrees with the warehouse" in theirs.plane("online", "verify").out
    assert "nothing to do" in theirs.plane("run").out
    [[other]] = theirs.sql("SELECT id FROM _plane.identity")
    assert other in ours.fails("run", "--resync")
    again = theirs.plane("online", "take-over", "--yes", "--json").json
    assert [version["unhealed"] for version in again["versions"]] == [0]


def test_a9_a_store_of_an_earlier_version_is_adopted_by_the_first_sync(shop):
    """Case A9: neither the warehouse nor the store of an earlier version says whose it is."""
    shop.ready()
    shop.sql("DROP TABLE _plane.identity", "DROP TABLE _plane.owners")
    with shop.client() as redis:
        redis.delete(claim_hash(f"{shop.name}.local"))
        [(fingerprint,)] = shop.sql("SELECT fingerprint FROM _plane.doors")
        cursor = cursor_hash(f"{shop.name}.local", "spend", fingerprint)
        redis.hdel(cursor, "warehouse")
    before = shop.stored()
    # Before the next deploy, everything goes on as it did.
    assert "nothing to do" in shop.plane("run").out
    assert shop.plane("plan", "--json", "--detailed-exitcode").json["actions"] == []
    assert shop.plane("deploy", "--json").json["deployment"] is None
    [[made]] = shop.sql("SELECT id FROM _plane.identity")
    assert shop.sql("SELECT project, environment, deployment FROM _plane.owners") == [
        (shop.name, "local", 1)
    ]
    assert "nothing to do" in shop.plane("run").out
    assert shop.stored() == before
    with shop.client() as redis:
        assert redis.hget(claim_hash(f"{shop.name}.local"), "warehouse") == made.encode()
        assert redis.hget(cursor, "warehouse") == made.encode()


def test_a9_a_cursor_of_another_warehouse_is_refused_where_the_record_was_lost(two):
    """Case A9: on a cluster, the namespace's record may be lost where a cursor is not."""
    ours, theirs = two
    with ours.client() as redis:
        redis.delete(claim_hash(f"{ours.name}.local"))
    [[mine]] = ours.sql("SELECT id FROM _plane.identity")
    assert mine in theirs.fails("run")


def test_deploys_at_the_same_time_agree_on_one_identity(tmp_path: Path):
    made: list[Identity] = []
    start = threading.Barrier(4)

    def deploy() -> None:
        with closing(connect(path=str(tmp_path / "w.duckdb"))) as warehouse:
            start.wait()
            made.append(identity.ensure(warehouse, made_by="ann@laptop", now=LATER))

    with closing(connect(path=str(tmp_path / "w.duckdb"))):
        threads = [threading.Thread(target=deploy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == 4
    assert len({one.id for one in made}) == 1


def test_the_identity_is_made_once_and_restored_if_its_row_is_removed(team: Team):
    with closing(team.connect()) as warehouse:
        assert identity.read(warehouse) is None
        made = identity.ensure(warehouse, made_by="ann@laptop", now=LATER)
        assert (made.made_by, made.made_at) == ("ann@laptop", LATER)
        assert identity.ensure(warehouse, made_by="bob@laptop", now=LATER) == made
        warehouse.execute(
            [Statement("by hand", "DELETE FROM _plane.identity WHERE id IS NOT NULL")]
        )
        assert identity.read(warehouse) is None
        restored = identity.ensure(warehouse, made_by="bob@laptop", now=LATER)
        assert restored.made_by == "bob@laptop"
        assert restored.id != made.id


def test_a_take_over_needs_an_identity(shop):
    shop.plane("deploy")
    shop.sql("DROP TABLE _plane.identity")
    with ControlPlane(shop.folder) as plane, pytest.raises(PlaneError) as refused:
        plane.online.take_over()
    assert refused.value.hint == "run `plane deploy` first: it creates the identity"


def test_a_claim_says_who_and_where():
    claim = Claim("abc", "features", "/data/w.duckdb", "ann@laptop", "2024-01-05T00:00:00+00:00")
    assert str(claim) == (
        "warehouse abc (/data/w.duckdb, schema features, first deployed by ann@laptop, "
        "synced since 2024-01-05T00:00:00+00:00)"
    )
