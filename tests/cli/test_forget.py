"""Erasing an entity: nothing of it is left in any table or online, and nothing of anybody else is
gone."""

from __future__ import annotations

import duckdb
import pytest

from controlplane import ControlPlane
from controlplane.online import syncing
from controlplane.release.program import build
from controlplane.sql.views import render_view
from tests.cli.test_rollback import WIDER
from tests.shop import DEFINITIONS

PAIRS = (
    DEFINITIONS
    + '''

place = Entity("place", keys={"place_id": "string"}, owner=OWNER)


@batch_feature_view(
    entities=[user, place], sources=[payments], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[Aggregate("count", windows=["1d"])],
)
def visits(payments):
    """How often a user is somewhere."""
    return f"SELECT user_id, country AS place_id, paid_at FROM {payments}"
'''
)
TRAIN = (
    "dataset",
    "create",
    "one",
    "--service",
    "shop",
    "--spine",
    "raw.payments",
    "--time",
    "paid_at",
)
FORGET = ("forget", "--key", "user_id=1")


def everything(shop):
    """Every row of every table that is made here and has users, by table."""
    listed = (
        "SELECT table_schema || '.' || table_name FROM information_schema.columns JOIN"
        " information_schema.tables USING (table_schema, table_name) WHERE table_type = 'BASE"
        " TABLE' AND table_schema IN ('features', 'datasets') AND column_name = 'user_id'"
    )
    with duckdb.connect(str(shop.folder / ".plane" / "warehouse.duckdb")) as connection:
        tables = [name for (name,) in connection.execute(listed).fetchall()]
        return {
            name: sorted(
                repr(row) for row in connection.execute(f"SELECT user_id, * FROM {name}").fetchall()
            )
            for name in tables
        }


def without(rows, user):
    return [row for row in rows if not row.startswith(f"({user}, ")]


def counts_of(shop, user):
    return {table: len(rows) - len(without(rows, user)) for table, rows in everything(shop).items()}


@pytest.fixture
def known(shop):
    """Two versions of one view, another with two keys, and a training set."""
    shop.define(PAIRS)
    shop.ready()
    shop.define(PAIRS, WIDER)
    shop.ready()
    shop.plane(*TRAIN)
    return shop


def test_nothing_is_left_of_it_and_all_of_the_others(known):
    before, stored = everything(known), known.stored()
    assert len(before) == 13
    counts = counts_of(known, 1)
    assert sum(counts.values()) > 20
    dry = known.plane(*FORGET, "--dry-run", "--json").json
    assert {one["table"]: one["rows"] for one in dry["tables"]} == counts
    assert (dry["at"], everything(known), known.stored()) == (None, before, stored)
    assert "nothing was erased" in known.fails(*FORGET, "--json")
    # What is not erased at the source would come back.
    assert dry["sources"] == {"raw.payments": 2}
    known.sql("DELETE FROM raw.payments WHERE user_id = 1")
    found = known.plane(*FORGET, "--yes", "--json").json
    assert [one["left"] for one in found["tables"]] == [0] * len(counts)
    assert {one["table"]: one["rows"] for one in found["tables"]} == counts
    assert (found["sources"], found["online"], found["standing"]) == ({}, 4, 0)
    assert set(counts_of(known, 1).values()) == {0}
    after = everything(known)
    assert {table: without(rows, 1) for table, rows in before.items()} == after
    assert known.get(1) == {"count_1d": 0, "amount_sum_3d": None, "country": None}
    assert known.get(3)["country"] == "DE"
    own = [key for key in stored if b"{1}" in key or b"{1:" in key]
    assert len(own) == 4
    assert all(len(known.stored()[key]) < 20 for key in own)
    assert known.plane("online", "verify", "--json").json["unhealed"] == 0
    # A run, and even one that computes everything anew, brings nothing back.
    known.plane("run", "--recompute")
    assert set(counts_of(known, 1).values()) == {0}
    assert known.get(1)["country"] is None
    assert known.plane(*FORGET, "--yes").out.startswith(
        "None of 13 tables has a row of this entity."
    )


def test_a_sync_that_read_before_brings_nothing_back(known):
    with ControlPlane(known.folder) as plane:
        _, manifest = plane.deployed()
        view = manifest.view("spend")
        store, warehouse = plane.online.store(), plane.project.warehouse

        class Slow:
            """Has the rows read, and lets the erasure happen before they are written."""

            def write(self, batches):
                ready = list(batches)
                plane.forget({"user_id": "1"})
                return store.write(ready)

            def __getattr__(self, name):
                return getattr(store, name)

        sql = render_view(manifest, view).sync
        report = syncing.sync(
            build(manifest, view), warehouse, Slow(), sql, clock=plane.project.clock, full=True
        )
        assert report.kept_newer == 1
    assert known.get(1)["country"] is None


def test_what_is_wrong_erases_nothing(shop):
    shop.ready()
    before = everything(shop)
    for message, *keys in (
        ("no feature view has the keys nobody", "nobody=1"),
        ("key 'user_id'", "user_id=x"),
        ("write name=value", "user_id"),
        ("each name once", "user_id=1", "user_id=2"),
    ):
        given = [part for key in keys for part in ("--key", key)]
        assert message in shop.fails("forget", *given, "--yes")
    assert everything(shop) == before


def test_an_erasure_that_was_stopped_is_finished_by_the_next(known):
    with ControlPlane(known.folder) as plane:
        warehouse = plane.project.warehouse
        execute = warehouse.execute

        class Dying:
            def execute(self, statements, **options):
                if options.get("atomic"):
                    raise KeyboardInterrupt
                return execute(statements, **options)

            def __getattr__(self, name):
                return getattr(warehouse, name)

        plane.project.__dict__["warehouse"] = Dying()
        with pytest.raises(KeyboardInterrupt):
            plane.forget({"user_id": "1"})
        plane.project.__dict__["warehouse"] = warehouse
    assert sum(counts_of(known, 1).values()) > 20
    known.plane(*FORGET, "--yes")
    assert set(counts_of(known, 1).values()) == {0}


def test_a_value_that_outlived_its_rows_is_buried_by_the_next(shop):
    shop.ready()
    stored = shop.stored()
    [own] = [key for key in stored if b"{1}" in key]
    shop.plane(*FORGET, "--yes")
    with shop.client() as client:
        client.set(own, stored[own])
    shop.plane(*FORGET, "--yes")
    assert shop.get(1)["country"] is None


def test_a_key_that_had_another_type(shop):
    shop.define(
        DEFINITIONS,
        ('"user_id": "int64"', '"user_id": "string"'),
        ("SELECT user_id", "SELECT concat('u', user_id) AS user_id"),
    )
    shop.ready()
    shop.redefine()
    shop.ready()
    found = shop.plane(*FORGET, "--yes", "--json").json
    assert found["standing"] == sum(one["left"] for one in found["tables"]) == 0
    assert sum(one["rows"] for one in found["tables"]) > 4
    assert shop.get(1)["country"] is None


def test_a_source_that_lost_the_key(shop):
    shop.ready()
    shop.sql("ALTER TABLE raw.payments RENAME user_id TO payer")
    found = shop.plane(*FORGET, "--yes", "--json").json
    assert found["sources"] == {}
    assert sum(one["rows"] for one in found["tables"]) > 4
    assert sum(one["left"] for one in found["tables"]) == 0
