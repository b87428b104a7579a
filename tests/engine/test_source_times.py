"""The time of a source's rows: any expression over its columns, or bounds around the event time."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import Attribute, BatchSource
from controlplane.errors import Problems
from controlplane.manifest.specs import RowByRow
from tests.engine.rig import Rig, micros, naive
from tests.engine.views import COLUMNS, EMPTY, HOUR, START, TOTAL, view_of

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
        (
            loaded_source(),
            {"event_time_bounds": ("0s", "-1h")},
            "upper bound of event_time_bounds is below the lower bound",
        ),
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
    with pytest.raises(Problems, match="its SQL does not return the time of a source"):
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
                " ('a', TIMESTAMP '2024-01-03 01:00', DATE '2023-12-30', 4),"
                " ('a', TIMESTAMP '2024-01-03 01:00', NULL, 8)) t(k, ts, day, amt)"
            )
            rig = Rig(view, COLUMNS, warehouse=warehouse)
            done = rig.materialize(START + 49 * HOUR - (step - 1) // 4 * HOUR, START + 50 * HOUR)
            assert done.row_count == 2
            assert done.warnings == ["2 rows of the sources have no event time: no run reads them"]


def test_the_end_of_a_period_that_lasts_is_no_missing_time() -> None:
    """Only a row that no source of its table gives a time is left out by every run."""
    begins = BatchSource("begins", table="raw.periods", timestamp="valid_from")
    for ends in (
        BatchSource("ends", table="raw.periods", timestamp="valid_to"),
        BatchSource("ends", table="raw.periods", timestamp="valid_to + INTERVAL 0 HOUR"),
        BatchSource(
            "ends", table="raw.periods", timestamp="valid_to + INTERVAL 0 HOUR", prune_by="valid_to"
        ),
    ):
        sql = (
            "SELECT k, valid_from AS ts, amt FROM {begins} UNION ALL SELECT k, %s, NULL FROM {ends}"
        )
        view = view_of(
            sql % (ends.timestamp if ends.timestamp == "valid_to" else "source_time"),
            begins,
            ends,
            timestamp="ts",
        )
        warehouse = connect(path=":memory:")
        with Rig(EMPTY, COLUMNS, warehouse=warehouse) as made:
            made.run(
                "CREATE TABLE raw.periods AS FROM (VALUES"
                " ('a', TIMESTAMP '2024-01-01 00:10', TIMESTAMP '2024-01-01 00:20', 1),"
                " ('a', TIMESTAMP '2024-01-01 00:20', NULL, 2), ('b', NULL, NULL, 4),"
                " ('a', NULL, TIMESTAMP '2024-01-01 00:40', 8)) t(k, valid_from, valid_to, amt)"
            )
            rig = Rig(view, COLUMNS, warehouse=warehouse)
            done = rig.materialize(START, START + HOUR)
            assert done.row_count == 4
            assert done.warnings == ["1 rows of the sources have no event time: no run reads them"]
            made.run("DELETE FROM raw.periods WHERE k = 'b'")
            assert rig.materialize(START, START + HOUR).warnings == []


WRONG_SOURCES = {
    "now()": "neither a column nor a SQL expression",
    "ts + now()": "the value of now in its timestamp depends on more than the row",
    "max(ts)": r"'MAX\(ts\)' in its timestamp is not known to depend on the row alone",
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
