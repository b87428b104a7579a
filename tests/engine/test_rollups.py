"""Rollups: what covers a window, and what the next interval reads of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane import Aggregate, BatchSource, Entity, batch_feature_view
from controlplane.release.variables import run_variables
from controlplane.sql.rollups import Cover, Span, levels
from tests.engine.rig import Rig, interval, micros, naive

TILE = timedelta(minutes=7)
START = datetime(1970, 1, 1, tzinfo=UTC) - 200 * TILE


@given(
    st.integers(0, 12),
    st.integers(0, 6),
    st.integers(-5000, 5000),
    st.integers(1, 5000),
    st.integers(0, 99),
)
def test_a_cover_holds_each_tile_of_its_window_once(
    count: int, phase: int, moment: int, length: int, back: int
) -> None:
    spans = (Span(back * TILE, length * TILE), Span(back * TILE, None))
    begin = START + timedelta(minutes=phase)
    cover = Cover(TILE, timedelta(minutes=phase), count, begin, spans)
    at = begin + moment * TILE
    found: dict[int, Counter[int]] = {0: Counter(), 1: Counter()}
    parts = cover.at(at)
    for place, part in parts:
        size, first = (part.end - part.start) // TILE, (part.start - begin) // TILE
        assert size in {1 << level for level in range(count + 1)}
        grid = (part.start - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(minutes=phase)) // TILE
        assert grid % size == 0, "rollups lie on the grid of their own length"
        found[place].update(range(first, first + size))
    assert found[0] == Counter(range(moment - back - length, moment - back))
    assert found[1] == Counter(range(moment - back))
    assert sum(place == 0 for place, _ in parts) <= 2 * count + length // 2**count + 1


def hourly(*features: Aggregate, key: str = "string") -> Rig:
    """A view of hours."""
    thing = Entity("thing", keys={"k": key}, owner="team")
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[thing],
        sources=[events],
        schedule="1h",
        start="2024-01-01",
        features=list(features),
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return Rig(
        subject,
        {"k": {"string": "VARCHAR", "int64": "BIGINT"}[key], "ts": "TIMESTAMP", "i": "BIGINT"},
    )


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (Aggregate("sum", "i", windows=["3h"]), 0),
        (Aggregate("sum", "i", windows=["4h"]), 1),
        (Aggregate("sum", "i", windows=["7d"]), 6),
        (Aggregate("sum", "i", windows=["lifetime"]), 12),
        (Aggregate("percentile", "i", windows=["7d"], q=0.5), 0),
        (Aggregate("sum", "i", windows=["7d"], by="k"), 0),
    ],
)
def test_rollups_are_kept_where_they_save_something(feature: Aggregate, expected: int) -> None:
    with hourly(feature) as rig:
        assert levels(rig.view) == expected


def test_parts_of_a_sum_may_be_larger_than_the_sum() -> None:
    """Two hours in the middle overflow 64 bits; what is before and after them makes up for it."""
    large = 2**62
    with hourly(Aggregate("sum", "i", windows=["8h"])) as rig:
        signs = [-1, -1, 1, 1] * 3
        start, hour = micros("2024-01-01"), 3_600_000_000
        rig.add(
            [
                {"k": "a", "ts": naive(start + n * hour), "i": sign * large}
                for n, sign in enumerate(signs)
            ]
        )
        for number in range(len(signs)):
            rig.materialize(start + number * hour, start + (number + 1) * hour)
        values = {row["valid_from"]: row["i_sum_8h"] for row in rig.table("history")}
    expected = {
        start + (n + 1) * hour: sum(signs[max(0, n - 7) : n + 1]) * large for n in range(len(signs))
    }
    assert {at: values[at] for at in expected} == expected


def test_a_window_that_has_not_begun_is_empty() -> None:
    with hourly(Aggregate("count", windows=["lifetime"], offset="-3h")) as rig:
        start, hour = micros("2024-01-01"), 3_600_000_000
        rig.add([{"k": "a", "ts": naive(start), "i": 1}])
        for number in range(5):
            rig.materialize(start + number * hour, start + (number + 1) * hour)
        assert [
            (row["valid_from"], row["count_lifetime_offset_3h"]) for row in rig.table("history")
        ] == [(start + 4 * hour, 1)]


def test_the_next_interval_reads_few_tiles_of_a_long_window() -> None:
    with hourly(Aggregate("sum", "i", windows=["7d"])) as rig:
        start = micros("2024-01-09T05:00:00")
        variables = run_variables(rig.program, interval(start, start + 3_600_000_000), "run")
        assert len(variables.cover_tiles) + len(variables.cover_rollups) < 14  # of 168


EVENTS = """
INSERT INTO raw.events
SELECT range % 1000, TIMESTAMP '2024-01-01' + to_seconds((range * 7919) % 604800), range % 97 FROM range(300000)
"""
SEEN = "k, valid_from, i_sum_1h, i_max_2d, count_lifetime"


def test_many_rows_are_seen_at_once_and_the_same_in_any_order() -> None:
    """More than the 122,880 rows of a group, which the embedded warehouse treats in another way
    than few."""
    features = (
        Aggregate("sum", "i", windows=["1h"]),
        Aggregate("max", "i", windows=["2d"]),
        Aggregate("count", windows=["lifetime"]),
    )
    start, hour, week = micros("2024-01-01"), 3_600_000_000, 168
    found = {}
    for way in ("at once", "hour by hour"):
        with hourly(*features, key="int64") as rig:
            rig.run(EVENTS)
            spans = [(0, week)]
            if way == "hour by hour":
                spans = [
                    (50, 140),
                    (0, 50),
                    *((n, n + 1) for n in range(140, week)),
                    (60, 140),
                    (week - 1, week),
                ]
            for first, last in spans:
                rig.materialize(start + first * hour, start + last * hour)
            assert rig.run(
                "SELECT count(*), sum(count_lifetime) FROM features.subject__latest"
            ) == [(1000, 300_000)]
            history = rig.run(f"SELECT {SEEN} FROM features.subject__history ORDER BY ALL")
            latest = rig.run(f"SELECT {SEEN} FROM features.subject__latest ORDER BY ALL")
            table = f"features.subject__rollups__{rig.view.fingerprint}"
            found[way] = (history, latest, rig.run(f"SELECT * FROM {table} ORDER BY ALL"))
            assert len(history) > 122_880
    assert found["at once"] == found["hour by hour"]
