"""An interval's rows are a function of that interval alone, however wide a run is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from connectors.duckdb.warehouse import connect
from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import IntervalByInterval, RowByRow
from tests.engine.parity import opened
from tests.engine.rig import Rig, compiled, micros, naive

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "o": "BIGINT", "ts": "TIMESTAMP", "amt": "BIGINT", "word": "VARCHAR"}
THING = Entity("thing", keys={"k": "string"}, owner="team")
EVENTS = BatchSource("events", table="raw.events", timestamp="ts")
TOTAL = Aggregate("sum", "amt", windows=["24h", "3h"])


def view_of(
    sql: str, *sources: BatchSource, features: Sequence[Any] = (TOTAL,), **rest: Any
) -> BatchFeatureView:
    """A view whose SQL names its sources in braces."""
    names = [source.name for source in sources or (EVENTS,)]
    parameters = ", ".join(names)
    space: dict[str, Any] = {"text": sql}
    exec(
        f"def subject({parameters}):\n    return"
        f" text.format({', '.join(f'{n}={n}' for n in names)})",
        space,
    )
    declare = batch_feature_view(
        entities=[THING],
        sources=sources or [EVENTS],
        features=features,
        schedule="1h",
        start="2024-01-01",
        owner="team",
        **rest,
    )
    return declare(space["subject"])


def rows_of(count: int) -> list[dict[str, Any]]:
    choice = random.Random(7)
    return [
        {
            "k": choice.choice("ab"),
            "o": choice.randrange(12),
            "ts": naive(START + choice.randrange(-2 * HOUR, 10 * HOUR)),
            "amt": choice.randrange(50),
            "word": choice.choice(["x", "y", None]),
        }
        for _ in range(count)
    ]


LATE = BatchSource("late", table="raw.events", timestamp="ts", lookback="2h")
EVER = BatchSource("ever", table="raw.events", timestamp="ts", lookback="unbounded")
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


EMPTY = view_of("SELECT k, ts, amt FROM {events}")

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
    "SELECT k, ts, amt FROM {events} USING SAMPLE 10%": "a sample, which chance decides",
    "SELECT k, ts, amt FROM {events} TABLESAMPLE 10%": "a sample, which chance decides",
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
        line = subject.transformation.__code__.co_firstlineno + 6
        assert rig.view.evaluation.location.line == line
        with open(__file__, encoding="utf-8") as file:  # noqa: PTH123 - its lines are what is tested
            assert "sum(amt) OVER (PARTITION BY" in file.read().split("\n")[line - 1]


LOADED = {"k": "VARCHAR", "loaded_at": "TIMESTAMP", "happened_at": "TIMESTAMP", "amt": "BIGINT"}
BOUNDED: dict[str, Any] = {
    "timestamp": "happened_at",
    "event_time_bounds": ("-6h", "0s"),
    "features": [TOTAL, Attribute("amt", "int64")],
}


def loaded_source(delay: str = "6h") -> BatchSource:
    return BatchSource("events", table="raw.events", timestamp="loaded_at", settling_delay=delay)


def test_events_count_when_they_happened_and_show_when_they_are_loaded() -> None:
    """Case A1 with `loaded_at` beside `happened_at`: no run loses a row, and none shows it before
    it was there."""
    view = view_of("SELECT * FROM {events}", loaded_source(), **BOUNDED)

    def loaded(happened: str, arrived: str, amt: int) -> dict[str, Any]:
        times = {"happened_at": happened, "loaded_at": arrived}
        return {"k": "a", "amt": amt} | {
            n: naive(micros(f"2024-01-01T{t}")) for n, t in times.items()
        }

    rows = [
        loaded("01:10", "01:20", 1),
        loaded("01:50", "07:50", 2),
        loaded("02:00", "02:00", 4),
        # More than six hours late: left out by every run, and counted by one.
        loaded("01:30", "07:31", 8),
        loaded("03:00", "02:59", 16),  # loaded before it happened
    ]
    tables = []
    for step in (1, 12):
        with Rig(view, LOADED, rows=rows) as rig:
            done = [
                rig.materialize(START + n * HOUR, START + (n + step) * HOUR)
                for n in range(0, 12, step)
            ]
            warned = [warning for one in done for warning in one.warnings]
            assert len(warned) == (1 if step == 12 else 2)
            assert all("event time outside of event_time_bounds" in warning for warning in warned)
            tables.append(
                [{n: v for n, v in r.items() if n != "recorded_from"} for r in rig.table()]
            )
            looks = [(("a",), START + at) for at in (8 * HOUR - 1, 8 * HOUR, 9 * HOUR)]
            told = rig.training_set(looks)
            assert [row["amt_sum_24h"] for row in told] == [None, 3, 7]
            assert [row["amt"] for row in told] == [None, 2, 4]
            assert rig.training_set(looks, from_source=True) == told
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("source", "rest", "words"),
    [
        (loaded_source("5h"), {}, r"up to 6h after their event time, and its settling delay is 5h"),
        (loaded_source(), {"event_time_bounds": ("0s", "-1h")}, "end before they begin"),
        (
            loaded_source(),
            {"event_time_bounds": ("6", "7h")},
            "event_time_bounds: '6' is not a duration",
        ),
        (loaded_source(), {"timestamp": "loaded_at"}, "nothing to bound"),
    ],
)
def test_bounds_that_can_t_be_are_refused(
    source: BatchSource, rest: dict[str, Any], words: str
) -> None:
    with pytest.raises(Problems, match=words):
        Rig(view_of("SELECT * FROM {events}", source, **BOUNDED | rest), LOADED)


def test_bounds_want_the_source_s_time_returned() -> None:
    sql = "SELECT k, happened_at, amt FROM {events}"
    with pytest.raises(
        Problems, match="bounded by its sources' time, which its SQL does not return"
    ):
        Rig(view_of(sql, loaded_source(), **BOUNDED), LOADED)


TOKYO = {"timestamp": "tick AT TIME ZONE 'Asia/Tokyo'", "prune_by": "tick"}
SECONDS = {"timestamp": "to_timestamp(tick)", "prune_by": "tick"}
MILLIS = {"timestamp": "epoch_ms(tick)", "prune_by": "tick"}
CLOCKS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "local clock": ("TIMESTAMP", "TIMESTAMP '{}' + INTERVAL 9 HOUR", TOKYO, "source_time"),
    "the same in the view": (
        "TIMESTAMP",
        "TIMESTAMP '{}' + INTERVAL 9 HOUR",
        TOKYO,
        TOKYO["timestamp"],
    ),
    "seconds": ("BIGINT", "epoch(TIMESTAMP '{}')", SECONDS, "source_time"),
    "milliseconds": (
        "BIGINT",
        "epoch_ms(TIMESTAMP '{}')",
        {"timestamp": "epoch_ms(tick)", "prune_by": "tick"},
        "source_time",
    ),
    "text": ("VARCHAR", "TIMESTAMP '{}'", {"timestamp": "CAST(tick AS TIMESTAMP)"}, "source_time"),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_source_s_time_may_be_an_expression(name: str) -> None:
    """Case A1: a clock of another zone, or another unit, loses no row in any run."""
    kind, written, arguments, event_time = CLOCKS[name]
    source = BatchSource("events", table="raw.ticks", settling_delay="10m", **arguments)
    view = view_of(
        f"SELECT k, {event_time.replace('{', '{{')} AS ts, amt FROM {{events}}",
        source,
        timestamp="ts",
    )
    times = [
        "2024-01-01 00:00:00",
        "2024-01-01 01:10:00",
        "2024-01-01 02:00:00",
        "2023-12-31 23:59:59",
    ]
    tables = []
    for step in (1, 4):
        warehouse = connect(path=":memory:")
        with Rig(EMPTY, COLUMNS, warehouse=warehouse) as made:
            made.run(
                f"CREATE TABLE raw.ticks (k VARCHAR, tick {kind}, amt BIGINT)",
                *(
                    f"INSERT INTO raw.ticks SELECT 'a', {written.format(t)}, {1 << n}"
                    for n, t in enumerate(times)
                ),
                "INSERT INTO raw.ticks VALUES ('a', NULL, 64)",
            )
            rig = Rig(view, COLUMNS, warehouse=warehouse)
            assert rig.view.evaluation == RowByRow()
            assert ("prune_by" in arguments) == ('"tick" >=' in rig.sql["stage"])
            done = [
                rig.materialize(START + n * HOUR, START + (n + step) * HOUR)
                for n in range(0, 4, step)
            ]
            assert {warning for one in done for warning in one.warnings} == {
                "1 rows of the sources have no event time: no run reads them"
            }
            looks = [(("a",), START + at * HOUR + HOUR // 6) for at in (1, 2, 3, 4)]
            told = rig.training_set(looks)
            assert [row["amt_sum_3h"] for row in told] == [9, 11, 7, 6]
            assert rig.training_set(looks, from_source=True) == told
            tables.append(
                [{n: v for n, v in r.items() if n != "recorded_from"} for r in rig.table()]
            )
    assert tables[0] == tables[1]


def test_a_row_far_from_what_it_is_pruned_by_is_left_out_by_every_run() -> None:
    """The promise of `prune_by` is checked row by row: how wide a run is decides nothing."""
    source = BatchSource(
        "events", table="raw.ticks", timestamp="ts + INTERVAL 0 HOUR", prune_by="day"
    )
    view = view_of("SELECT k, source_time, amt FROM {events}", source)
    for step in (1, 100):
        warehouse = connect(path=":memory:")
        with Rig(EMPTY, COLUMNS, warehouse=warehouse) as made:
            made.run(
                "CREATE TABLE raw.ticks AS FROM (VALUES ('a', TIMESTAMP '2024-01-03 01:00', DATE"
                " '2024-01-03', 1), ('a', TIMESTAMP '2024-01-03 01:00', DATE '2024-01-01', 2),"
                " ('a', TIMESTAMP '2024-01-03 01:00', DATE '2023-12-30', 4)) t(k, ts, day, amt)"
            )
            rig = Rig(view, COLUMNS, warehouse=warehouse)
            done = rig.materialize(START + 49 * HOUR - (step - 1) // 4 * HOUR, START + 50 * HOUR)
            assert done.row_count == 2
            assert done.warnings == ["1 rows of the sources have no event time: no run reads them"]


WRONG_SOURCES = {
    "now()": "neither a column nor a SQL expression",
    "ts + now()": "the value of now in its timestamp depends on more than the row",
    "max(ts)": r"'MAX\(ts\)' in its timestamp is not known to be a function of the row",
    "amt + 1": "is int64, not a timestamp",
    "nope AT TIME ZONE 'UTC'": "the warehouse refuses its timestamp",
    "ts; DROP TABLE x": "neither a column nor a SQL expression",
}


@pytest.mark.parametrize("timestamp", WRONG_SOURCES)
def test_expressions_that_give_no_time_are_refused(timestamp: str) -> None:
    source = BatchSource("events", table="raw.events", timestamp=timestamp)
    with pytest.raises(Problems, match=WRONG_SOURCES[timestamp]):
        Rig(view_of("SELECT k, source_time AS ts, amt FROM {events}", source), COLUMNS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timestamp": "ts", "prune_by": "ts"}, "prune_by is only for a timestamp"),
        (
            {"timestamp": "to_timestamp(amt)", "prune_by": "o"},
            "can't be pruned by 'o', which is int64",
        ),
        (
            {"timestamp": "to_timestamp(amt)", "prune_by": "nope"},
            "has no column 'nope' to prune by",
        ),
        ({"lookback": "1h"}, "a table without a timestamp can't have a lookback"),
        ({"timestamp": "ts", "lookback": "ever"}, "lookback: 'ever' is not a duration"),
    ],
)
def test_sources_that_can_t_be_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Problems, match=words):
        Rig(
            view_of(
                "SELECT k, ts, amt FROM {events}",
                BatchSource("events", table="raw.events", **arguments),
            ),
            COLUMNS,
        )


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
