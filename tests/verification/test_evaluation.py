"""`plane verify` evaluates views as their runs do, and tells ways of computing from late data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane import Aggregate, Attribute, BatchSource, ControlPlane
from controlplane.project import open_calculator
from controlplane.verification import Mismatch, Report, Side, ViewReport, compare
from controlplane.verification import verify as verify_views
from controlplane.verification.ways import SAMPLED
from tests.engine.engines import run
from tests.engine.parity import opened
from tests.engine.rig import Rig, naive
from tests.engine.test_intervals import BOUNDED, COLUMNS, EVENTS, EVER, HOUR, START, loaded_source, rows_of, view_of
from tests.engine.test_intervals import LOADED as LOADED_COLUMNS
from tests.shop import Shop

HEAD = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "team@example.com"
user = Entity("user", keys={"uid": "int64"}, owner=OWNER)
"""
COMMAND = re.compile(r"plane (run \w+(?: --start \S+ --end \S+)? --recompute)")


def project(make: Callable[..., Shop], definitions: str, *statements: str, now: str = "2024-01-05T00:00:00Z") -> Shop:
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
        "CREATE TABLE raw.visits AS SELECT 1::BIGINT AS uid, TIMESTAMP '2024-01-02 10:10' AS local_ts",
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
    wrong = {one.keys["uid"]: one for one in view.mismatches}
    assert set(wrong) == {2, 3}  # at 10:00 the payment is more than three hours ago
    folder = (shop.folder / ".plane" / "warehouse.duckdb").read_bytes()
    for mismatch in wrong.values():
        (shop.folder / ".plane" / "warehouse.duckdb").write_bytes(folder)
        heal(shop, mismatch)
        assert verify(shop).mismatches == 0


def test_a_row_that_is_looked_up_without_end(make: Callable[..., Shop]) -> None:
    """Case A2: intervals are evaluated one by one, and a late row may change all that follow."""
    shop = project(make, JOINED.format(lookback=', lookback="unbounded"'), ORDERS, PAID, now="2024-01-02T12:00:00Z")
    report = verify(shop)
    assert report.mismatches == 0
    assert report.comparisons > report.nulls
    shop.sql("INSERT INTO raw.paid VALUES (3, '2024-01-02 06:40', 30)")
    [view] = verify(shop).views
    assert {one.keys["uid"] for one in view.mismatches} <= {2, 3, 4}
    heal(shop, view.mismatches[0])
    assert verify(shop).mismatches == 0


def test_rows_that_were_deleted_are_healed_by_the_hint(make: Callable[..., Shop]) -> None:
    """No row is left to name an interval: the command covers the windows in which one was."""
    shop = project(
        make, LOADED, "CREATE TABLE raw.loads (uid BIGINT, happened_at TIMESTAMP, loaded_at TIMESTAMP, amt BIGINT)"
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
    ways = [one for one in view.mismatches if one.kind == "ways of computing"]
    assert ways
    assert report.mismatches == view.mismatch_count >= len(ways)
    one = ways[0]
    assert (one.place, one.feature) == ("ways of computing", "*")
    # The same rows with other places.
    assert [row["eid"] for row in one.expected] != []
    assert sorted(row["eid"] for row in one.told) == sorted(row["eid"] for row in one.expected)
    assert one.told != one.expected
    line = (
        (shop.folder / "features" / "shop.py")
        .read_text()
        .split("\n")
        .index("          row_number() OVER (PARTITION BY uid ORDER BY day) AS rank")
    )
    assert f"window function row_number() (features/shop.py:{line + 1})" in one.hint
    assert "ORDER BY" in one.hint
    assert "--recompute" not in one.hint
    for value in (one for one in view.mismatches if one.kind == "value"):
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
    "row_number() OVER (PARTITION BY uid ORDER BY day)", "sum(1e9 / (eid + 1)) OVER (PARTITION BY uid ORDER BY day)"
)


def test_the_order_of_a_sum_of_floats_is_no_difference(make: Callable[..., Shop]) -> None:
    shop = project(make, FLOATS, MANY, now="2024-01-03T00:00:00Z")
    report = verify(shop)
    assert report.mismatches == 0
    assert report.views[0].intervals > 0


def looked_at(rig: Rig, cases: int = 24) -> ViewReport:
    """Verify a rig's view."""
    report = verify_views(
        rig.manifest,
        rig.warehouse,
        lambda: None,
        open_calculator,
        now=lambda: datetime(2024, 1, 10, tzinfo=UTC),
        cases=cases,
        seed=7,
    )
    return report.views[0]


WINDOW = "SELECT k, ts, CAST(sum(amt) OVER (PARTITION BY k ORDER BY ts, amt, o) AS BIGINT) AS amt FROM {events}"
JOIN = "SELECT e.k, e.ts, l.amt FROM {events} e JOIN {ever} l ON e.o = l.o AND e.ts > l.ts"
FEATURES = (
    Aggregate("sum", "amt", windows=["3h"]),
    Aggregate("count", windows=["10d", "lifetime"]),
    Attribute("amt", "int64"),
)


@pytest.mark.parametrize(
    ("engine", "sql", "sources"),
    [("duckdb", JOIN, (EVENTS, EVER)), ("snowflake", WINDOW, (EVENTS,))],
)
def test_intervals_in_statements_of_their_own(engine: str, sql: str, sources: Sequence[BatchSource]) -> None:
    """Only the newest intervals are evaluated: what needs more rows is left out, and a note says so."""
    view = view_of(sql, *sources, features=FEATURES)
    if engine == "duckdb":
        with Rig(view, COLUMNS, rows=busy()) as rig:
            compare_apart(rig)
        return
    with opened(engine) as (warehouse, _):
        compare_apart(Rig(view, COLUMNS, rows=busy(), warehouse=warehouse))


def busy() -> list[dict[str, Any]]:
    """Events of sixty hours."""
    return rows_of(60) + [row | {"ts": naive(START + (n * 41 % 59) * HOUR + n)} for n, row in enumerate(rows_of(120))]


def compare_apart(rig: Rig) -> None:
    rig.materialize(START, START + 60 * HOUR)
    found = looked_at(rig)
    assert found.mismatch_count == 0, found.mismatches
    assert min(found.compared[place] for place in ("table", "history", "latest", "training set")) > 0
    assert found.nulls < sum(found.compared.values())
    notes = "\n".join(found.notes)
    assert "the newest 48 intervals" in notes
    assert "from 2024-01-01T12:00:00Z" in notes
    assert "count_10d, count_lifetime: not compared" in notes
    history = f"features.{rig.d.quote(f'subject__history__{rig.view.fingerprint}')}"
    run(rig.warehouse, f"UPDATE {history} SET {rig.d.quote('amt_sum_3h')} = {rig.d.quote('amt_sum_3h')} + 1")
    assert {one.feature for one in looked_at(rig).mismatches} == {"amt_sum_3h"}


def test_few_intervals_are_compared_as_a_whole() -> None:
    """As long as all intervals are evaluated, lifetimes are compared too."""
    with Rig(view_of(JOIN, EVENTS, EVER, features=FEATURES[1:]), COLUMNS, rows=rows_of(60)) as rig:
        rig.materialize(START, START + 8 * HOUR)
        found = looked_at(rig)
        assert found.mismatch_count == 0, found.mismatches


def test_row_by_row_views_verify_on_snowflake() -> None:
    """Case A1 with `loaded_at`, on another warehouse: some intervals are evaluated in both ways."""
    with opened("snowflake") as (warehouse, _):
        rows = [
            {"k": "a", "happened_at": naive(START + at), "loaded_at": naive(START + at + late), "amt": at // HOUR}
            for at in range(HOUR // 2, 6 * HOUR, HOUR)
            for late in (-HOUR, HOUR, 7 * HOUR)
        ]
        view = view_of("SELECT * FROM {events}", loaded_source(), **BOUNDED)
        rig = Rig(view, LOADED_COLUMNS, rows=rows, warehouse=warehouse)
        rig.materialize(START, START + 12 * HOUR)
        found = looked_at(rig)
        assert found.mismatch_count == 0, found.mismatches
        assert found.intervals == SAMPLED
        assert found.nulls < sum(found.compared.values())
        run(warehouse, "DELETE FROM raw.events")
        assert looked_at(rig).mismatch_count > 0


def test_environments_are_compared_where_intervals_are_evaluated_one_by_one() -> None:
    """How far floats may be off is known there too."""
    sql = JOIN.replace("l.amt", "CAST(l.amt AS DOUBLE) / 3 AS amt")
    view = view_of(sql, EVENTS, EVER, features=FEATURES[:1])
    with Rig(view, COLUMNS, rows=rows_of(60)) as one, Rig(view, COLUMNS, rows=rows_of(60)) as other:
        left, right = (Side(name, rig.manifest, rig.warehouse) for name, rig in (("one", one), ("other", other)))
        for rig in (one, other):
            rig.materialize(START, START + 8 * HOUR)
        table = f"features.subject__history__{other.view.fingerprint}"
        for factor, equal in ((1 + 1e-12, True), (1 + 1e-6, False)):
            other.run(f"UPDATE {table} SET amt_sum_3h = amt_sum_3h * {factor!r}")
            assert compare(left, right).equal is equal


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
    """Case A8: Postgres' open end and the year 290,000 end no verification."""
    shop = project(
        make,
        PERIODS,
        """CREATE TABLE raw.periods AS SELECT * FROM (VALUES
            (1::BIGINT, TIMESTAMP '2024-01-02 00:10', TIMESTAMP '2024-01-03', DATE '2024-01-03')
        ) AS period(uid, ts, until, day)""",
    )
    shop.sql(
        """INSERT INTO raw.periods VALUES
            (1, '2024-01-02 00:20', '290000-01-01', 'infinity'),
            (1, '2024-01-02 00:30', 'infinity', '-infinity'),
            (1, '290000-01-01', '2024-01-01', NULL), (1, 'infinity', '2024-01-01', NULL),
            (1, '-infinity', '2024-01-01', '290000-01-01')"""
    )
    [view] = verify(shop).views
    assert view.cases == 40
    assert "after the year 9999" in str([one.expected for one in view.mismatches])
    assert '"mismatches"' in shop.plane("verify", "--seed", "7", "--json", code=1).out
    assert "mismatch: open__" in shop.plane("verify", "--seed", "7", code=1).out
