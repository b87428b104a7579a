"""`plane verify` finds nothing where all is right, and every kind of damage where it is not."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane import ControlPlane
from controlplane.base.types import Interval
from controlplane.errors import PlaneError
from controlplane.verify import Report
from tests.shop import Shop

DEFINITIONS = """
from controlplane import Aggregate, Attribute, BatchSource, Calendar, Entity, FeatureService, Series, batch_feature_view

OWNER = "team@example.com"

user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
day = Entity("day", keys={"seen_at": "timestamp", "country": "string", "ok": "bool"}, owner=OWNER)
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at", settling_delay="30m")
countries = BatchSource("countries", table="raw.countries")


@batch_feature_view(
    entities=[user], sources=[payments], schedule="6h", aggregation_interval="1h", start="2024-01-01", owner=OWNER,
    features=[
        Attribute("last_country", "string", column="country"),
        Aggregate("count", windows=["6h", "lifetime", Calendar("day", zone="Europe/Berlin")]),
        Aggregate("sum", "amount", windows=["1d", Series("1d", steps=2)], where="country <> 'FR' -- not those"),
        Aggregate("mean", "amount", windows=["12h"], offset="-6h"),
        Aggregate("max", "paid_at", windows=["2d"]),
        Aggregate("sum", "amount", windows=["2d"], by="country"),
        Aggregate("last_n", "country", n=2, windows=["3d"]),
    ],
)
def spend(payments):
    return f"SELECT * FROM {payments}"


@batch_feature_view(
    entities=[user], sources=[payments], schedule="6h", start="2024-01-01", ttl="1d", tie_breaker=["amount"],
    owner=OWNER, features=[Attribute("amount", "int64"), Attribute("country", "string")],
)
def last_payment(payments):
    return f"SELECT * FROM {payments} -- all of them"


@batch_feature_view(
    entities=[day], sources=[countries], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[Attribute("rate", "decimal(6,2)"), Attribute("since", "timestamp")],
)
def rates(countries):
    return f"SELECT seen_at, name AS country, ok, rate, seen_at AS since FROM {countries}"


everything = FeatureService("everything", features=[spend, last_payment, rates], owner=OWNER)
"""
RAW = (
    """CREATE OR REPLACE TABLE raw.payments AS SELECT
        (i * 7919) % 5 AS user_id,
        TIMESTAMP '2023-12-30' + INTERVAL 1 SECOND * (i * 48611 % 500000) AS paid_at,
        CASE WHEN i % 11 = 0 THEN NULL ELSE i * 37 % 100 END AS amount,
        CASE i % 4 WHEN 0 THEN 'DE' WHEN 1 THEN 'FR' WHEN 2 THEN 'it''s' END AS country
    FROM range(400) AS numbers(i)""",
    "ALTER TABLE raw.payments ALTER user_id TYPE BIGINT",
    "ALTER TABLE raw.payments ALTER amount TYPE BIGINT",
    """CREATE OR REPLACE TABLE raw.countries AS SELECT * FROM (VALUES
        ('DE', TIMESTAMP '2024-01-01 00:00:00.000001', TRUE, 1.25::DECIMAL(6,2)),
        ('it''s', TIMESTAMP '1969-12-31 23:59:59', FALSE, NULL)
    ) AS country(name, seen_at, ok, rate)""",
)


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str
) -> tuple[Shop, dict[bytes, bytes]]:
    """A project with all that is computed and in sync, and the dump of all keys of its server."""
    shop = Shop(tmp_path_factory.mktemp("verified") / "shop", valkey_url, name="verified")
    shop.define(DEFINITIONS)
    shop.sql(*RAW)
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
        plane.run()
    with shop.client() as client:
        return shop, {key: client.dump(key) for key in client.scan_iter()}


@pytest.fixture
def ready(base: tuple[Shop, dict[bytes, bytes]], tmp_path: Path) -> Iterator[Shop]:
    """A copy of it, to be damaged."""
    shop = copy.copy(base[0])
    shop.folder, shop.children = Path(shutil.copytree(shop.folder, tmp_path / "shop")), []
    yield shop
    with shop.client() as client:
        client.flushall()
        for key, dumped in base[1].items():
            client.restore(key, 0, dumped, replace=True)
    for child in shop.children:
        child.kill()
        child.join()


def verify(shop: Shop, *views: str, **options: Any) -> Report:
    with ControlPlane(shop.folder) as plane:
        return plane.verify(views, **({"cases": 80, "seed": 7} | options))


def wrong(report: Report) -> set[tuple[str, str, str]]:
    return {(m.view, m.place, m.feature) for view in report.views for m in view.mismatches}


def history(shop: Shop, view: str) -> str:
    """The physical table of a view's history."""
    [(name,)] = shop.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE"
        f" '{view}\\_\\_history\\_\\_%' ESCAPE '\\' AND table_name NOT LIKE '%replaced%'"
    )
    return f'features."{name}"'


def test_what_is_right_is_found_right(ready: Shop) -> None:
    report = verify(ready)
    assert (report.mismatches, report.seed) == (0, 7)
    assert report.nulls < report.comparisons / 2
    for view in report.views:
        assert view.notes == []
        assert set(view.compared) == {"table", "history", "latest", "training set", "online"}
        assert min(view.compared.values()) > 0
    assert [view.cases for view in report.views] == [80, 80, 80]
    assert verify(ready) == report, "a seed takes the same samples"
    assert verify(ready, seed=8).comparisons > 0


def test_an_altered_value_is_found(ready: Shop) -> None:
    ready.sql(f"UPDATE {history(ready, 'spend')} SET count_6h = count_6h + 1 WHERE user_id = 3")
    report = verify(ready, "spend")
    assert wrong(report) == {
        ("spend", place, "count_6h") for place in ("table", "history", "training set")
    }
    mismatch = report.views[0].mismatches[0]
    assert (mismatch.keys, mismatch.told) == ({"user_id": 3}, mismatch.expected + 1)
    assert len(mismatch.rows) == mismatch.row_count == mismatch.expected
    assert all(list(row) == ["paid_at"] for row in mismatch.rows)
    assert "the table was altered" in mismatch.hint


def test_a_lost_row_of_the_history_is_found(ready: Shop) -> None:
    ready.sql(
        f"DELETE FROM {history(ready, 'last_payment')} WHERE valid_from = TIMESTAMP '2024-01-03"
        " 00:30'"
    )
    assert {place for _, place, _ in wrong(verify(ready))} == {"table", "history", "training set"}


def test_a_doubled_row_is_found(ready: Shop) -> None:
    name = history(ready, "last_payment")
    ready.sql(
        f"INSERT INTO {name} SELECT * FROM {name} WHERE valid_from = TIMESTAMP '2024-01-03 00:30'"
    )
    assert ("last_payment", "history", "*") in wrong(verify(ready))


def test_an_altered_newest_row_is_found(ready: Shop) -> None:
    name = history(ready, "rates").replace("__history__", "__latest__")
    ready.sql(f"UPDATE {name} SET rate = 9.99 WHERE country = 'DE'")
    report = verify(ready, "rates")
    assert wrong(report) == {("rates", "latest", "rate")}
    mismatch = report.views[0].mismatches[0]
    assert str(mismatch.keys["seen_at"]) == "2024-01-01 00:00:00.000001+00:00"


@pytest.mark.parametrize("lost", [True, False])
def test_an_altered_online_value_is_found(ready: Shop, lost: bool) -> None:
    with ready.client() as client:
        keys = sorted(key for key in ready.stored() if b":spend:" in key)
        if lost:
            client.delete(keys[0])
        else:
            client.set(keys[0], client.get(keys[1]))
    report = verify(ready)
    assert {(view, place) for view, place, _ in wrong(report)} == {("spend", "online")}
    assert all("--resync" in m.hint for m in report.views[0].mismatches)


def test_a_late_row_is_found_and_explained(ready: Shop) -> None:
    ready.sql("INSERT INTO raw.payments VALUES (3, TIMESTAMP '2024-01-02 13:00:00.5', 1000, 'DE')")
    report = verify(ready, "spend")
    places = {place for _, place, feature in wrong(report) if feature == "count_lifetime"}
    assert places == {"table", "history", "latest", "training set", "online"}
    mismatch = next(m for m in report.views[0].mismatches if m.feature == "count_lifetime")
    assert (mismatch.told, mismatch.keys) == (mismatch.expected - 1, {"user_id": 3})
    again = "plane run spend --start 2024-01-02T12:00:00Z --end 2024-01-02T18:00:00Z --recompute"
    assert "without the row of 2024-01-02T13:00:00.500000Z" in mismatch.hint
    assert again in mismatch.hint
    begin, end = (datetime.fromisoformat(f"2024-01-02T{hour}:00:00Z") for hour in (12, 18))
    with ControlPlane(ready.folder) as plane:
        plane.run(["spend"], within=Interval(begin, end), recompute=True)
    assert verify(ready, "spend").mismatches == 0


def test_a_row_that_vanished_is_found(ready: Shop) -> None:
    ready.sql("DELETE FROM raw.payments WHERE user_id = 4")
    report = verify(ready, "spend")
    assert {m.keys["user_id"] for m in report.views[0].mismatches} == {4}
    assert "deleted" in report.views[0].mismatches[0].hint


def test_a_note_says_what_is_not_compared(make: Callable[..., Shop]) -> None:
    shop = make(online=None)
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
    [view] = verify(shop).views
    assert (view.cases, view.notes) == (0, ["nothing is computed yet; run `plane run`"])
    with ControlPlane(shop.folder) as plane:
        plane.run()
    shop.resettle(("state =", 'online = { kind = "redis", url = "redis://127.0.0.1:1" }\nstate ='))
    [view] = verify(shop).views
    assert "online" not in view.compared
    assert [
        note.startswith("online: the store can't be reached, so it was not compared")
        for note in view.notes
    ] == [True]


def test_a_view_that_reads_a_view(ready: Shop) -> None:
    more = """

from controlplane import BatchSource

door = BatchSource("door", table="features.last_payment", timestamp="valid_from", settling_delay="30m")


@batch_feature_view(
    entities=[user], sources=[door], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[Aggregate("max", "amount", windows=["2d"])],
)
def peaks(door):
    return f"SELECT user_id, valid_from, amount FROM {door}"
"""
    ready.define(DEFINITIONS + more)
    with ControlPlane(ready.folder) as plane:
        plane.deploy()
        plane.run()
    report = verify(ready, "peaks")
    assert (report.mismatches, report.cases) == (0, 80)


def test_the_command(ready: Shop) -> None:
    done = ready.plane("verify", "--cases", "40", "--seed", "7")
    assert done.out.splitlines()[-1].startswith("120 cases, ")
    assert done.out.splitlines()[-1].endswith(" 0 mismatches, seed 7")
    assert "spend: 40 of 40 cases" in done.err
    assert "Example: plane verify" in ready.plane("verify", "--help").out
    ready.sql(f"UPDATE {history(ready, 'spend')} SET last_country = 'XX' WHERE user_id = 3")
    done = ready.plane("verify", "spend", "--seed", "7", code=1)
    assert "mismatch: spend__last_country of user_id=3 at 2024-" in done.out
    assert ": XX in the table, should be " in done.out
    report = ready.plane("verify", "spend", "--seed", "7", "--json", code=1).json
    assert report["mismatches"] == report["views"][0]["mismatch_count"] > 0
    assert report["views"][0]["mismatches"][0]["told"] == "XX"
    assert "there is no feature view 'nothing'" in ready.fails("verify", "nothing")
    assert "give --cases 1 or more" in ready.fails("verify", "--cases", "0")


def test_nothing_is_written(ready: Shop) -> None:
    tables = "SELECT table_schema, table_name, estimated_size FROM duckdb_tables() ORDER BY ALL"
    before = ready.sql(tables.replace("table_schema", "schema_name"))
    verify(ready)
    assert ready.sql(tables.replace("table_schema", "schema_name")) == before


def test_cases_are_at_least_one(ready: Shop) -> None:
    with pytest.raises(PlaneError, match="0 cases"):
        verify(ready, cases=0)
    assert verify(ready, cases=1).cases == 3
