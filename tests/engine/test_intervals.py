"""An interval's rows are a function of that interval alone, however wide a run is."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from connectors.duckdb.warehouse import connect
from controlplane import Aggregate, BatchSource, batch_feature_view
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import IntervalByInterval, RowByRow
from tests.engine.parity import opened
from tests.engine.rig import Rig, compiled, micros
from tests.engine.views import (
    COLUMNS,
    DAY,
    EMPTY,
    EVENTS,
    EVER,
    HOUR,
    LATE,
    START,
    THING,
    TOTAL,
    rows_of,
    view_of,
)

BY_INTERVAL = {
    "join": (
        "SELECT e.k, e.ts, l.amt FROM {events} e LEFT JOIN {late} l ON e.o = l.o",
        (EVENTS, LATE),
    ),
    "ever": (
        "SELECT e.k, e.ts, l.amt FROM {events} e JOIN {ever} l ON e.o = l.o AND e.ts > l.ts",
        (EVENTS, EVER),
    ),
    "window": (
        (
            "SELECT k, ts, CAST(sum(amt) OVER (PARTITION BY k ORDER BY ts, amt, o) AS BIGINT) AS"
            " amt FROM {events}"
        ),
        (EVENTS,),
    ),
    "lag": (
        "SELECT k, ts, lag(amt) OVER (PARTITION BY k ORDER BY ts, amt, o) AS amt FROM {late}",
        (LATE,),
    ),
    "distinct": ("SELECT DISTINCT k, ts, amt % 3 AS amt FROM {events}", (EVENTS,)),
    "group": ("SELECT k, max(ts) AS ts, count(*) AS amt FROM {events} GROUP BY k", (EVENTS,)),
    "limit": ("SELECT k, ts, amt FROM {events} ORDER BY ts DESC, amt, o, k LIMIT 2", (EVENTS,)),
    "unordered": ("SELECT k, ts, amt FROM {events} LIMIT 1000", (EVENTS,)),
    "union": ("SELECT k, ts, amt FROM {events} UNION SELECT k, ts, o FROM {late}", (EVENTS, LATE)),
    "unnest": (
        "SELECT k, ts, n AS amt FROM unnest((SELECT list(o ORDER BY o) FROM {late})) u(n), {late}",
        (LATE,),
    ),
    "subquery": (
        "SELECT k, ts, amt FROM {events} WHERE amt > (SELECT avg(amt) FROM {late})",
        (EVENTS, LATE),
    ),
}


@pytest.mark.parametrize("name", BY_INTERVAL)
def test_every_way_of_computing_gives_the_same(name: str) -> None:
    """Case A2 and its kind: in one run, hour by hour, in random order, and from sources where that
    is possible."""
    sql, sources = BY_INTERVAL[name]
    view = view_of(sql, *sources)
    rows, tables = rows_of(150), []
    for order in ("at once", "one by one", "any order"):
        with Rig(view, COLUMNS, rows=rows) as rig:
            assert isinstance(rig.view.evaluation, IntervalByInterval)
            hours = list(range(8))
            if order == "at once":
                rig.materialize(START, START + 8 * HOUR)
            else:
                if order == "any order":
                    random.Random(name).shuffle(hours)
                for hour in hours:
                    rig.materialize(START + hour * HOUR, START + (hour + 1) * HOUR)
            tables.append(
                [{n: v for n, v in r.items() if n != "recorded_from"} for r in rig.table()]
            )
            looks = [((k,), START + at * HOUR // 2) for k in "ab" for at in range(2, 17)]
            told = rig.training_set(looks)
            if name in ("ever", "unordered"):
                with pytest.raises(PlaneError, match=r"interval by interval .*from its sources"):
                    rig.training_set(looks, from_source=True)
            else:
                assert rig.training_set(looks, from_source=True) == told
    assert tables[0]
    assert tables[0] == tables[1] == tables[2]


@pytest.mark.parametrize("name", [n for n in BY_INTERVAL if n not in ("ever", "unordered")])
def test_together_is_what_one_statement_an_interval_gives(name: str) -> None:
    """The two forms of one stage hold the same rows."""
    sql, sources = BY_INTERVAL[name]
    with Rig(view_of(sql, *sources), COLUMNS, rows=rows_of(150)) as rig:
        staged = []
        for steady in (True, False):
            rows: list[Any] = []

            def keep(step: str, rows: list[Any] = rows) -> None:
                if step == "check":
                    [(table,)] = rig.run(
                        "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'stage__%'"
                    )
                    rows += rig.run(
                        f'SELECT k, event_time, amt__input FROM _plane."{table}" ORDER BY ALL'
                    )

            evaluation = msgspec.structs.replace(rig.view.evaluation, steady=steady)
            view = msgspec.structs.replace(rig.view, evaluation=evaluation)
            rig.use(msgspec.structs.replace(rig.manifest, views=(view,)))
            assert rig.program.steps is not steady
            rig.materialize(START, START + 8 * HOUR, keep)
            staged.append(rows)
        assert len(staged[0]) > 5
        assert staged[0] == staged[1]


def test_a_join_of_two_timed_sources_sees_nothing_of_the_future() -> None:
    """Case A2: the later payment of 09:02 does not show in the value of 01:00."""
    orders = BatchSource("orders", table="raw.orders", timestamp="ts")
    payments = BatchSource("payments", table="raw.payments", timestamp="ts")
    view = view_of(
        "SELECT o.k, o.ts, p.amt FROM {orders} o LEFT JOIN {payments} p USING (o)",
        orders,
        payments,
        features=[Aggregate("sum", "amt", windows=["24h"])],
    )
    warehouse = connect(path=":memory:")
    with Rig(EMPTY, COLUMNS, warehouse=warehouse) as rig:
        rig.run(
            "CREATE TABLE raw.orders AS FROM (VALUES (1::BIGINT, 'a', TIMESTAMP '2024-01-02"
            " 00:10'), (2, 'a', '2024-01-02 00:58')) t(o, k, ts)",
            "CREATE TABLE raw.payments AS FROM (VALUES (1::BIGINT, TIMESTAMP '2024-01-02 00:12',"
            " 10::BIGINT), (2, '2024-01-02 09:02', 20)) t(o, ts, amt)",
        )
        joined = Rig(view, COLUMNS, warehouse=warehouse)
        joined.materialize(START, START + 2 * DAY)
        look = [(("a",), micros("2024-01-02T01:00"))]
        assert [row["amt_sum_24h"] for row in joined.training_set(look)] == [10]
        assert [row["amt_sum_24h"] for row in joined.training_set(look, from_source=True)] == [10]


ROW_BY_ROW = [
    "SELECT * FROM {events}",
    "SELECT k, ts, amt * 2 AS amt FROM {events} WHERE word LIKE 'x%'",
    "SELECT k, ts, amt FROM {events} UNION ALL SELECT k, ts, o FROM {late}",
    "WITH chosen AS (SELECT k, ts, amt FROM {events}) SELECT * FROM chosen",
    "SELECT e.k, e.ts, d.amt FROM {events} e LEFT JOIN {names} d USING (k)",
    "SELECT k, ts, amt FROM {events} WHERE k IN (SELECT k FROM {names})",
]


@pytest.mark.parametrize("sql", ROW_BY_ROW)
def test_what_is_row_by_row_stays_one_statement(sql: str) -> None:
    names = BatchSource("names", table="raw.names")
    with Rig(EMPTY, COLUMNS) as rig:
        rig.run("CREATE TABLE raw.names (k VARCHAR, amt BIGINT)")
        read = [source for source in (EVENTS, LATE, names) if "{" + source.name + "}" in sql]
        [view] = compiled([view_of(sql, *read)], rig.warehouse).views
        assert view.evaluation == RowByRow()


REFUSED = {
    "SELECT k, now() AS ts, amt FROM {events}": "value of now in its SQL depends on more",
    "SELECT k, ts, random() AS amt FROM {events}": "value of random in its SQL depends on more",
    "SELECT k, ts, amt FROM {events} WHERE ts < current_timestamp": (
        "value of current_timestamp in its SQL"
    ),
    "SELECT k, ts, current_user AS amt FROM {events}": "value of current_user in its SQL",
    "SELECT k, ts, age(ts) AS amt FROM {events}": "value of age in its SQL",
    "SELECT k, ts, amt FROM {events} USING SAMPLE 10%": "a sample, which is random",
    "SELECT k, ts, amt FROM {events} TABLESAMPLE 10%": "a sample, which is random",
    "SELECT e.k, e.ts, x.amt FROM {events} e JOIN raw.events x USING (o)": (
        r"table raw\.events, which is not among"
    ),
    "SELECT k, date_trunc('hour', ts) AS ts, amt FROM {events}": (
        "event time 'ts' is not provably the time"
    ),
    "SELECT k, ts - INTERVAL 1 HOUR AS ts, amt FROM {events}": (
        "event time 'ts' is not provably the time"
    ),
}


@pytest.mark.parametrize("sql", REFUSED)
def test_the_clock_chance_the_session_and_other_tables_are_refused(sql: str) -> None:
    with Rig(EMPTY, COLUMNS) as rig, pytest.raises(Problems, match=REFUSED[sql]):
        compiled([view_of(sql)], rig.warehouse)


def test_what_looks_like_them_is_not() -> None:
    sql = (
        "SELECT k, ts, age(ts, TIMESTAMP '2020-01-01') AS since, 'now()' AS word, amt, o AS random"
        " FROM {events}"
    )
    with Rig(view_of(sql), COLUMNS) as rig:
        assert rig.view.evaluation == RowByRow()


def test_the_plan_names_the_construct_and_its_line() -> None:
    @batch_feature_view(
        entities=[THING],
        sources=[EVENTS],
        features=[TOTAL],
        schedule="1h",
        start="2024-01-01",
        owner="team",
    )
    def subject(events):
        return f"""
            SELECT k, ts,
              CAST(sum(amt) OVER (PARTITION BY k ORDER BY ts) AS BIGINT) AS amt
            FROM {events}
        """

    with Rig(subject, COLUMNS) as rig:
        assert isinstance(rig.view.evaluation, IntervalByInterval)
        assert rig.view.evaluation.construct == "window function sum()"
        line = subject.transformation.__code__.co_firstlineno + 11
        assert rig.view.evaluation.location.line == line
        with open(__file__, encoding="utf-8") as file:  # noqa: PTH123 - its lines are what is tested
            assert "sum(amt) OVER (PARTITION BY" in file.read().split("\n")[line - 1]


@pytest.mark.parametrize("name", ["join", "window", "distinct", "union"])
def test_snowflake_evaluates_each_interval_in_a_statement(name: str) -> None:
    sql, sources = BY_INTERVAL[name]
    view, rows = view_of(sql, *sources), rows_of(60)
    looks = [((k,), START + at * HOUR) for k in "ab" for at in range(1, 6)]
    with Rig(view, COLUMNS, rows=rows) as here, opened("snowflake") as (warehouse, _):
        here.materialize(START, START + 5 * HOUR)
        there = Rig(view, COLUMNS, rows=rows, warehouse=warehouse)
        assert there.program.steps
        there.materialize(START + 2 * HOUR, START + 5 * HOUR)
        there.materialize(START, START + 2 * HOUR)
        assert there.training_set(looks) == here.training_set(looks)
        with pytest.raises(PlaneError, match=r"interval by interval .*from its sources"):
            there.training_set(looks, from_source=True)
