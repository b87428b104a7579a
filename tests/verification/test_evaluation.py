"""`plane verify` evaluates views as their runs do, and tells ways of computing from late data."""

from __future__ import annotations

import re
from collections.abc import Callable

from controlplane import ControlPlane
from controlplane.verify import Mismatch, Report
from tests.shop import Shop

HEAD = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "team@example.com"
user = Entity("user", keys={"uid": "int64"}, owner=OWNER)
"""
COMMAND = re.compile(r"plane (run \w+(?: --start \S+ --end \S+)? --recompute)")


def project(
    make: Callable[..., Shop], definitions: str, *statements: str, now: str = "2024-01-05T00:00:00Z"
) -> Shop:
    """A project with these views and tables, deployed and run."""
    shop = make(online=None)
    shop.resettle(('now = "2024-01-05T00:00:00Z"', f'now = "{now}"'))
    shop.define(HEAD + definitions)
    shop.sql(*statements)
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
        plane.run()
    return shop


def verify(shop: Shop, cases: int = 40, seed: int = 7) -> Report:
    with ControlPlane(shop.folder) as plane:
        return plane.verify(cases=cases, seed=seed)


def heal(shop: Shop, mismatch: Mismatch) -> None:
    """Run the command that a mismatch suggests."""
    suggested = COMMAND.search(mismatch.hint)
    assert suggested, mismatch.hint
    shop.plane(*suggested[1].split())


LOCAL = """
visits = BatchSource("visits", table="raw.visits", timestamp="local_ts AT TIME ZONE 'Asia/Tokyo'")

@batch_feature_view(
    entities=[user], sources=[visits], schedule="1h", start="2024-01-01", timestamp="source_time", owner=OWNER,
    features=[Aggregate("count", windows=["24h"])],
)
def seen(visits):
    return f"SELECT uid, source_time FROM {visits}"
"""


def test_a1_times_of_local_clocks_verify(make: Callable[..., Shop]) -> None:
    """Case A1: hourly runs lose no row of Tokyo's clocks, and the hint heals a late one."""
    shop = project(
        make,
        LOCAL,
        "CREATE TABLE raw.visits AS SELECT 1::BIGINT AS uid, TIMESTAMP '2024-01-02 10:10' AS"
        " local_ts",
        now="2024-01-02T02:00:00Z",
    )
    previous = "02"
    for hour in ("05", "11", "14"):
        shop.resettle((f"T{previous}:00", f"T{hour}:00"))
        previous = hour
        with ControlPlane(shop.folder) as plane:
            plane.run()
    report = verify(shop)
    assert report.mismatches == 0
    assert report.comparisons > report.nulls
    # 20:30 in Tokyo is 11:30: the hint must name that hour, not the local one.
    shop.sql("INSERT INTO raw.visits VALUES (1, TIMESTAMP '2024-01-02 20:30')")
    [view] = verify(shop).views
    assert "such as that of 2024-01-02T11:30:00Z" in view.mismatches[0].hint
    assert "--end 2024-01-02T12:00:00Z" in view.mismatches[0].hint
    heal(shop, view.mismatches[0])
    assert verify(shop).mismatches == 0


LOADED = """
loads = BatchSource("loads", table="raw.loads", timestamp="loaded_at", settling_delay="6h")

@batch_feature_view(
    entities=[user], sources=[loads], schedule="1h", start="2024-01-01", timestamp="happened_at", owner=OWNER,
    event_time_bounds=("-6h", "0s"), features=[Aggregate("sum", "amt", windows=["24h"]), Attribute("amt", "int64")],
)
def told(loads):
    return f"SELECT uid, happened_at, loaded_at, amt FROM {loads}"
"""


def test_a1_rows_beyond_the_bounds_do_not_count(make: Callable[..., Shop]) -> None:
    """Case A1 with `loaded_at`: a hint's interval is that of the event time, not of the loading."""
    shop = project(
        make,
        LOADED,
        """CREATE TABLE raw.loads AS SELECT * FROM (VALUES
            (1::BIGINT, TIMESTAMP '2024-01-02 01:10', TIMESTAMP '2024-01-02 01:20', 1::BIGINT),
            (1, '2024-01-02 01:50', '2024-01-02 07:50', 2),
            (2, '2024-01-02 01:30', '2024-01-02 07:31', 8),  -- loaded too late
            (2, '2024-01-02 03:00', '2024-01-02 02:59', 16)  -- loaded before it happened
        ) AS load(uid, happened_at, loaded_at, amt)""",
    )
    report = verify(shop)
    assert report.mismatches == 0
    assert report.comparisons > report.nulls
    shop.sql("INSERT INTO raw.loads VALUES (1, '2024-01-02 04:10', '2024-01-02 09:05', 4)")
    [view] = verify(shop).views
    assert "--start 2024-01-02T04:00:00Z --end 2024-01-02T05:00:00Z" in view.mismatches[0].hint
    heal(shop, view.mismatches[0])
    assert verify(shop).mismatches == 0


JOINED = """
orders = BatchSource("orders", table="raw.orders", timestamp="ts")
paid = BatchSource("paid", table="raw.paid", timestamp="ts"{lookback})

@batch_feature_view(
    entities=[user], sources=[orders, paid], schedule="1h", start="2024-01-01", owner=OWNER, timestamp="ts",
    features=[Attribute("amt", "int64")],
)
def spent(orders, paid):
    return f"SELECT o.uid, o.ts, p.amt FROM {{orders}} o LEFT JOIN {{paid}} p USING (oid)"
"""
ORDERS = """CREATE TABLE raw.orders AS SELECT * FROM (VALUES
    (1::BIGINT, 1::BIGINT, TIMESTAMP '2024-01-02 00:10'), (2, 1, '2024-01-02 00:58'),
    (4, 5, '2024-01-02 00:30'), (3, 2, '2024-01-02 06:30'), (3, 3, '2024-01-02 08:30'), (3, 4, '2024-01-02 10:30')
) AS bought(oid, uid, ts)"""
PAID = """CREATE TABLE raw.paid AS SELECT * FROM (VALUES
    (1::BIGINT, TIMESTAMP '2024-01-02 00:12', 10::BIGINT), (2, '2024-01-02 09:02', 20), (4, '2024-01-02 00:50', 40)
) AS payment(oid, ts, amt)"""


def test_a2_a_join_verifies_and_the_hint_covers_what_looks_back(make: Callable[..., Shop]) -> None:
    """Case A2: a later row of the other source is not expected in an earlier interval.

    A late one changes three intervals, each of another entity; the hint of any of them heals all.
    """
    shop = project(make, JOINED.format(lookback=', lookback="3h"'), ORDERS, PAID)
    report = verify(shop)
    assert report.mismatches == 0
    assert report.comparisons > report.nulls
    shop.sql("INSERT INTO raw.paid VALUES (3, '2024-01-02 06:40', 30)")
    [view] = verify(shop).views
    wrong = {m.keys["uid"]: m for m in view.mismatches}
    assert set(wrong) == {2, 3}  # at 10:00 the payment is more than three hours ago
    folder = (shop.folder / ".plane" / "warehouse.duckdb").read_bytes()
    for mismatch in wrong.values():
        (shop.folder / ".plane" / "warehouse.duckdb").write_bytes(folder)
        heal(shop, mismatch)
        assert verify(shop).mismatches == 0


def test_a_row_that_is_looked_up_without_end(make: Callable[..., Shop]) -> None:
    """Case A2: intervals are evaluated one by one, and a late row may change all that follow."""
    shop = project(
        make,
        JOINED.format(lookback=', lookback="unbounded"'),
        ORDERS,
        PAID,
        now="2024-01-02T12:00:00Z",
    )
    report = verify(shop)
    assert report.mismatches == 0
    assert report.comparisons > report.nulls
    shop.sql("INSERT INTO raw.paid VALUES (3, '2024-01-02 06:40', 30)")
    [view] = verify(shop).views
    assert {m.keys["uid"] for m in view.mismatches} <= {2, 3, 4}
    heal(shop, view.mismatches[0])
    assert verify(shop).mismatches == 0


def test_rows_that_were_deleted_are_healed_by_the_hint(make: Callable[..., Shop]) -> None:
    """No row is left to name an interval: the command covers the windows in which one was."""
    shop = project(
        make,
        LOADED,
        "CREATE TABLE raw.loads (uid BIGINT, happened_at TIMESTAMP, loaded_at TIMESTAMP, amt"
        " BIGINT)",
    )
    shop.sql(
        "INSERT INTO raw.loads SELECT 1, ts, ts, 5 FROM (VALUES "
        "(TIMESTAMP '2024-01-02 02:10'), ('2024-01-02 20:10')) AS load(ts)"
    )
    with ControlPlane(shop.folder) as plane:
        plane.run(recompute=True)
    shop.sql("DELETE FROM raw.loads")
    [view] = verify(shop).views
    for hint in {mismatch.hint: mismatch for mismatch in view.mismatches}.values():
        heal(shop, hint)
    assert view.mismatches
    assert verify(shop).mismatches == 0


TIED = """
events = BatchSource("events", table="raw.events", timestamp="ts")

@batch_feature_view(
    entities=[user], sources=[events], schedule="1h", start="2024-01-01", owner=OWNER, timestamp="ts",
    features=[Attribute("rank", "int64"), Aggregate("max", "rank", windows=["3h"])], tie_breaker=["eid"],
)
def ranked(events):
    return f'''
        SELECT uid, ts, eid,
          row_number() OVER (PARTITION BY uid ORDER BY day) AS rank
        FROM {events}
    '''
"""
MANY = """CREATE OR REPLACE TABLE raw.events AS SELECT
    (i % 3)::BIGINT AS uid, i::BIGINT AS eid, TIMESTAMP '2024-01-01' + INTERVAL 1 MINUTE * (i * 7919 % 2880) AS ts,
    DATE '2024-01-01' AS day
FROM range(5000) AS numbers(i)"""


def test_rows_that_tie_are_told_as_ways_of_computing(make: Callable[..., Shop]) -> None:
    """Case A2's kind: an ORDER BY that leaves ties is told by its line, and is no late data."""
    shop = project(make, TIED, MANY, now="2024-01-03T00:00:00Z")
    report = verify(shop)
    [view] = report.views
    ways = [m for m in view.mismatches if m.kind == "ways of computing"]
    assert ways
    assert report.mismatches == view.mismatch_count >= len(ways)
    mismatch = ways[0]
    assert (mismatch.place, mismatch.feature) == ("ways of computing", "*")
    # The same rows with other places.
    assert [row["eid"] for row in mismatch.expected] != []
    assert sorted(row["eid"] for row in mismatch.told) == sorted(
        row["eid"] for row in mismatch.expected
    )
    assert mismatch.told != mismatch.expected
    line = (
        (shop.folder / "features" / "shop.py")
        .read_text()
        .split("\n")
        .index("          row_number() OVER (PARTITION BY uid ORDER BY day) AS rank")
    )
    assert f"window function row_number() (features/shop.py:{line + 1})" in mismatch.hint
    assert "ORDER BY" in mismatch.hint
    assert "--recompute" not in mismatch.hint
    for value in (m for m in view.mismatches if m.kind == "value"):
        assert "ways of computing" in value.hint
    done = shop.plane("verify", "--seed", "7", code=1)
    assert "mismatch: ways of computing ranked: uid=" in done.out
    listed = shop.plane("verify", "--seed", "7", "--json", code=1).json["views"][0]["mismatches"]
    assert listed[0]["kind"] == "ways of computing"

    shop.define((HEAD + TIED).replace("ORDER BY day", "ORDER BY day, eid"))
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
        plane.run()
    report = verify(shop)
    assert report.mismatches == 0
    assert report.views[0].intervals > 0


FLOATS = TIED.replace('"int64"', '"float64"').replace(
    "row_number() OVER (PARTITION BY uid ORDER BY day)",
    "sum(1e9 / (eid + 1)) OVER (PARTITION BY uid ORDER BY day)",
)


def test_the_order_of_a_sum_of_floats_is_no_difference(make: Callable[..., Shop]) -> None:
    shop = project(make, FLOATS, MANY, now="2024-01-03T00:00:00Z")
    report = verify(shop)
    assert report.mismatches == 0
    assert report.views[0].intervals > 0


PERIODS = """
periods = BatchSource("periods", table="raw.periods", timestamp="ts")

@batch_feature_view(
    entities=[user], sources=[periods], schedule="1h", start="2024-01-01", owner=OWNER, timestamp="ts",
    tie_breaker=["until"], features=[
        Attribute("until", "timestamp"), Attribute("day", "date"), Aggregate("max", "until", windows=["24h"]),
    ],
)
def open(periods):
    return f"SELECT * FROM {periods}"
"""


def test_instants_that_python_does_not_know(make: Callable[..., Shop]) -> None:
    """Case A8: Postgres' open end and the year 290,000 are errors with a remedy."""
    shop = project(
        make,
        PERIODS,
        """CREATE TABLE raw.periods AS SELECT * FROM (VALUES
            (1::BIGINT, TIMESTAMP '2024-01-02 00:10', TIMESTAMP '2024-01-03', DATE '2024-01-03')
        ) AS period(uid, ts, until, day)""",
    )
    shop.sql("""INSERT INTO raw.periods VALUES
            (1, '2024-01-02 00:20', '290000-01-01', 'infinity'),
            (1, '2024-01-02 00:30', 'infinity', '-infinity'),
            (1, '290000-01-01', '2024-01-01', NULL), (1, 'infinity', '2024-01-01', NULL),
            (1, '-infinity', '2024-01-01', '290000-01-01')""")
    for form in ((), ("--json",)):
        error = shop.fails("verify", "--seed", "7", *form)
        assert re.search(
            r"'(until|day)' has values that are infinite or beyond year 9999", error
        ), error
        assert "no run publishes them: correct the rows" in error


COUNTED = (
    PERIODS
    + """

@batch_feature_view(
    entities=[user], sources=[periods], schedule="1h", start="2024-01-01", owner=OWNER, timestamp="ts",
    features=[Aggregate("count", windows=["24h"])],
)
def counted(periods):
    return f"SELECT uid, ts FROM {periods}"
"""
)


def test_a8_a_view_that_cannot_be_compared_leaves_the_others_in(make: Callable[..., Shop]) -> None:
    """Case A8: what no run of one view would publish is told, and the other views are compared."""
    shop = project(
        make,
        COUNTED,
        """CREATE TABLE raw.periods AS SELECT * FROM (VALUES
            (1::BIGINT, TIMESTAMP '2024-01-02 00:10', TIMESTAMP '2024-01-03', DATE '2024-01-03')
        ) AS period(uid, ts, until, day)""",
    )
    shop.sql("UPDATE raw.periods SET until = 'infinity'")
    views = shop.plane("verify", "--seed", "7", "--json", code=1).json["views"]
    refused = {view["view"]: view["refused"] for view in views}
    assert "'until' has values that are infinite or beyond year 9999" in refused["open"]
    assert refused["counted"] == ""
    assert sum(next(view for view in views if view["view"] == "counted")["compared"].values()) > 0
    assert "not compared: " in shop.plane("verify", "--seed", "7", code=1).out
