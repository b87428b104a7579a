"""Single cases that random ones rarely meet: names, zones, overflow, rows that are dropped, sources
that change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.base.ports import Statement, described
from controlplane.base.types import Interval, floor, parse_duration
from controlplane.errors import CheckFailed, PermanentError, PlaneError, Problems
from controlplane.materialize.run import missing
from controlplane.training import datasets
from tests.engine.meddled import Meddled
from tests.engine.rig import Rig, interval, micros

DAY = 86_400_000_000
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT", "word": "VARCHAR"}


def subject_of(
    *features: Attribute | Aggregate,
    sql: str = "SELECT * FROM {events}",
    keys: Mapping[str, str] | None = None,
    timestamp: str | None = None,
    tie_breaker: Sequence[str] = (),
    schedule: str = "1d",
    start: str = "2024-01-01",
    event_time_bounds: tuple[str, str] | None = None,
) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[Entity("thing", keys=keys or {"k": "string"}, owner="team")],
        sources=[events],
        features=features,
        schedule=schedule,
        start=start,
        timestamp=timestamp,
        event_time_bounds=event_time_bounds,
        tie_breaker=tie_breaker,
        owner="team",
    )
    def subject(events):
        return sql.replace("{events}", events)

    return subject


def row(
    ts: str, amt: int | None = 1, k: str | None = "a", word: str | None = None
) -> dict[str, Any]:
    return {"k": k, "ts": datetime.fromisoformat(f"2024-{ts}"), "amt": amt, "word": word}


SUM = Aggregate("sum", "amt", windows=["1d"])


def test_names_of_users_are_theirs() -> None:
    # Words that our own SQL uses stay free for keys, columns and features.
    view = subject_of(
        Attribute("at", "string", column="word"),
        Attribute("word", "string", column="other"),
        Attribute("head", "int64", column="amt"),
        Aggregate("sum", "amt", windows=["1d"], name="frontier"),
        Aggregate("count", windows=["1d"], where="word = 'x'"),
        keys={"touched": "string", "Key": "int64"},
        sql=(
            "SELECT k AS touched, 7 AS \"Key\", ts, amt, word, 'o' AS other, 1 AS place, ts AS"
            " frontier FROM {events}"
        ),
        tie_breaker=["place"],
    )
    with Rig(view, COLUMNS, rows=[row("01-01 01:00", 5, word="x")]) as rig:
        rig.materialize(START, START + DAY)
        rig.materialize(START, START + 2 * DAY)
        expected = {
            "touched": "a",
            "Key": 7,
            "at": "x",
            "word": "o",
            "head": 5,
            "frontier_1d": 5,
            "count_1d": 1,
        }
        [first, _] = rig.table()
        assert {name: first[name] for name in expected} == expected
        [newest] = rig.table("latest")
        assert (newest["at"], newest["frontier_1d"], newest["is_deleted"]) == ("x", None, False)


@pytest.mark.parametrize(
    "key", ["version", "valid_from", "event_time", "tile_start", "Is_Deleted", "a__b", "a b"]
)
def test_keys_may_not_have_names_of_ours(key: str) -> None:
    view = subject_of(SUM, keys={key: "string"}, sql=f'SELECT k AS "{key}", * FROM {{events}}')
    with pytest.raises(Problems, match=f"key '{key}': this is not a valid name of a key"):
        Rig(view, COLUMNS)


ZONED = """
from datetime import datetime
from controlplane import Aggregate
from tests.engine.rig import Rig
from tests.engine.test_edges import DAY, START, SUM, subject_of
with Rig(subject_of(SUM), {"k": "VARCHAR", "ts": "TIMESTAMPTZ", "amt": "BIGINT"}) as rig:
    rig.run("INSERT INTO raw.events VALUES ('a', '2024-01-01 00:00:00+00', 1), ('a', '2024-01-01 23:59:59+00', 2)")
    rig.materialize(START, START + DAY)
    print([row["amt_sum_1d"] for row in rig.table()])
"""


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_the_machine_s_time_zone_changes_nothing(zone: str) -> None:
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", ZONED], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[3]\n", "")


def test_an_event_time_that_the_sql_moves_is_refused() -> None:
    view = subject_of(
        SUM, sql="SELECT k, ts + INTERVAL 12 HOUR AS later, amt FROM {events}", timestamp="later"
    )
    with pytest.raises(
        Problems, match=r"event time 'later' is not provably the time of a source \(events\.ts\)"
    ):
        Rig(view, COLUMNS)


def test_an_overflow_is_an_error_and_nothing_is_written() -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01", 2**63 - 1), row("01-01", 1)]) as rig:
        with pytest.raises(PermanentError, match=r"(?i)out of range"):
            rig.materialize(START, START + DAY)
        assert (rig.table("tiles"), rig.table("history"), rig.head().version) == ([], [], 0)


def test_an_overflow_across_tiles_is_one_too() -> None:
    view = subject_of(Aggregate("sum", "amt", windows=["2d"]))
    with Rig(view, COLUMNS, rows=[row("01-01", 2**63 - 1), row("01-02", 1)]) as rig:
        with pytest.raises(PermanentError, match=r"(?i)out of range"):
            rig.materialize(START, START + 2 * DAY)
        assert (rig.table("tiles"), rig.table("history"), rig.head().version) == ([], [], 0)


def stages(rig: Rig) -> list[tuple[Any, ...]]:
    return rig.run(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
    )


def test_rows_without_a_key_or_a_time_are_dropped_and_counted() -> None:
    sql = "SELECT k, CASE WHEN word = 'late' THEN NULL ELSE ts END AS ts, amt FROM {events}"
    rows = [
        row("01-01"),
        row("01-01", k=None),
        row("01-01", word="late"),
        row("01-01", k=None, word="late"),
    ]
    with Rig(subject_of(SUM, sql=sql), COLUMNS, rows=rows) as rig:
        done = rig.materialize(START, START + DAY)
        assert (done.row_count, done.dropped_count) == (4, 3)
        assert rig.run("SELECT row_count, dropped_count FROM _plane.ledger") == [(4, 3)]
        assert [r["amt_sum_1d"] for r in rig.table()] == [1]


def test_rows_of_no_time_are_told_of_by_every_run() -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01"), row("01-01") | {"ts": None}]) as rig:
        for day in range(2):
            done = rig.materialize(START + day * DAY, START + (day + 1) * DAY)
            assert done.warnings == ["1 rows of the sources have no event time: no run reads them"]
            assert done.dropped_count == 0


def test_a_view_s_first_rows_may_not_all_be_dropped() -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01", k=None)]) as rig:
        with pytest.raises(
            CheckFailed, match="all 1 rows of the interval lack a key or an event time"
        ):
            rig.materialize(START, START + DAY)
        assert rig.head().version == 0
        assert stages(rig) == []


def test_later_rows_may_all_be_dropped() -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01"), row("01-02", k=None)]) as rig:
        rig.materialize(START, START + DAY)
        done = rig.materialize(START + DAY, START + 2 * DAY)
        assert (done.row_count, done.dropped_count) == (1, 1)
        assert rig.head().watermark.day == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE raw.events ALTER amt TYPE DOUBLE", "raw.events.amt is float64, was int64"),
        ("ALTER TABLE raw.events DROP word", "raw.events.word is missing"),
        ("DROP TABLE raw.events", "raw.events is missing"),
    ],
)
def test_a_changed_source_is_refused_before_anything_is_written(change: str, told: str) -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01")]) as rig:
        rig.run(change)
        with pytest.raises(PermanentError, match=told):
            rig.materialize(START, START + DAY)
        assert rig.head().version == 0
        assert stages(rig) == []


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (START - DAY, START, "begins before"),
        (START, START + DAY // 2, "is not made of whole intervals"),
    ],
)
def test_only_whole_intervals_of_the_view_are_computed(start: int, end: int, told: str) -> None:
    with Rig(subject_of(SUM), COLUMNS) as rig, pytest.raises(PermanentError, match=told):
        rig.materialize(start, end)


def test_text_that_looks_like_a_template_is_text() -> None:
    sql = (
        "SELECT k, ts, amt, '{{ plane.start }} {% x %} -- it''s' AS word FROM {events} -- {{ no }}"
    )
    view = subject_of(
        Attribute("word", "string"),
        Aggregate("count", windows=["1d"], where="word <> '{{ a }}'"),
        sql=sql,
    )
    with Rig(view, COLUMNS, rows=[row("01-01")]) as rig:
        rig.materialize(START, START + DAY)
        [found] = rig.table()
        assert (found["word"], found["count_1d"]) == ("{{ plane.start }} {% x %} -- it's", 1)


@pytest.mark.parametrize("step", ["5m", "1d", "7d"])
def test_long_stretches_are_cut_on_the_grid(step: str) -> None:
    with Rig(
        subject_of(Attribute("word", "string"), schedule=step, start="2023-01-05"), COLUMNS
    ) as rig:
        pieces = missing(rig.program, [], datetime(2024, 1, 5, tzinfo=UTC))
    length = parse_duration(step)
    assert len(pieces) > 3
    assert (pieces[0].start, pieces[-1].end) == (
        datetime(2023, 1, 5, tzinfo=UTC),
        floor(pieces[-1].end, length),
    )
    assert pieces[-1].end > datetime(2023, 12, 28, tzinfo=UTC)
    assert all(piece.start == floor(piece.start, length) for piece in pieces)
    assert all(one.end == other.start for one, other in pairwise(pieces))


def test_what_is_covered_is_not_missing() -> None:
    with Rig(subject_of(SUM), COLUMNS) as rig:
        program = rig.program
    now = datetime(2024, 1, 8, 23, 59, tzinfo=UTC)
    covered = [interval(START + DAY, START + 2 * DAY), interval(START + 2 * DAY, START + 4 * DAY)]
    gaps = [interval(START, START + DAY), interval(START + 4 * DAY, START + 7 * DAY)]
    assert missing(program, covered, now) == gaps
    within = Interval(datetime(2024, 1, 4, 12, tzinfo=UTC), datetime(2024, 1, 7, 12, tzinfo=UTC))
    assert missing(program, covered, now, within) == [interval(START + 4 * DAY, START + 6 * DAY)]
    assert missing(program, [], datetime(2024, 1, 1, 23, tzinfo=UTC)) == []


def _looked_at(rig: Rig, spine: str, *, from_source: bool) -> Sequence[tuple[Any, ...]]:
    made = datasets.create(
        rig.manifest,
        rig.warehouse,
        name="looks",
        service="all",
        spine=spine,
        time="at",
        created_by="us",
        from_source=from_source,
        now=datetime(2024, 2, 1, tzinfo=UTC),
    )
    return rig.run(f"SELECT * FROM {made.table}")


@pytest.mark.parametrize("from_source", [False, True])
def test_spines_at_the_ends_of_time(from_source: bool) -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01 12:00", 3)]) as rig:
        rig.materialize(START, START + DAY)
        nothing = "SELECT 'a' AS k, TIMESTAMP '2024-01-02' AS at WHERE false"
        assert _looked_at(rig, nothing, from_source=from_source) == []
        never = "SELECT 'a' AS k, CAST(NULL AS TIMESTAMP) AS at"
        assert _looked_at(rig, never, from_source=from_source) == [("a", None, None)]
        with pytest.raises(Problems, match="9998-12-31"):
            _looked_at(
                rig, "SELECT 'a' AS k, TIMESTAMP '12000-01-01' AS at", from_source=from_source
            )


@pytest.mark.parametrize(
    "spine",
    [
        "SELECT 'a' AS k, now() AS at; DROP TABLE raw.events",
        "DELETE FROM raw.events RETURNING k, ts AS at",
        "",
    ],
)
def test_a_spine_is_one_query_and_only_reads(spine: str) -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01 12:00", 3)]) as rig:
        with pytest.raises(
            PlaneError, match="the spine can't be read: its SQL must be exactly one SELECT"
        ):
            _looked_at(rig, spine, from_source=True)
        assert rig.run("SELECT count(*) FROM raw.events") == [(1,)]
        with pytest.raises(PermanentError, match="exactly one query"):
            described(rig.warehouse, "SELECT 1 AS one; DROP TABLE raw.events")
        assert rig.run("SELECT count(*) FROM raw.events") == [(1,)]


def test_an_interrupt_that_also_cancels_the_clean_up_stays_an_interrupt() -> None:
    with Rig(subject_of(SUM), COLUMNS, rows=[row("01-01")]) as rig:
        dropped: list[str] = []

        def interrupted(statement: Statement) -> Sequence[Statement]:
            if statement.name == "update the head":
                raise KeyboardInterrupt
            if statement.name == "drop the stage":
                dropped.append(statement.sql)
                if len(dropped) == 1:
                    raise PermanentError("drop the stage: cancelled")
            return [statement]

        whole, rig.warehouse = rig.warehouse, Meddled(rig.warehouse, interrupted)
        with pytest.raises(KeyboardInterrupt):
            rig.materialize(START, START + DAY)
        rig.warehouse = whole
        assert len(dropped) == 2
        rig.materialize(START, START + DAY)
        assert [r["amt_sum_1d"] for r in rig.table("history")][:1] == [1]
