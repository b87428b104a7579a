"""Golden vectors: the values that the docs promise for three small views, from the engine and from
the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
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
from controlplane.errors import Problems
from controlplane.verify.oracle import RowFeature, View, WindowFeature, same
from tests.engine.rig import Reader, Rig, micros

HOUR = 3_600_000_000
DAY = 24 * HOUR
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT", "word": "VARCHAR"}
THING = Entity("thing", keys={"k": "string"}, owner="team")
START, END = "2024-01-01", "2024-01-10"


def subject_of(
    *features: Attribute | Aggregate, delay: str = "0s", ttl: str | None = None
) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts", settling_delay=delay)

    @batch_feature_view(
        entities=[THING],
        sources=[events],
        features=features,
        schedule="1d",
        start=START,
        ttl=ttl,
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def rows(column: str, *pairs: tuple[str, Any]) -> list[dict[str, Any]]:
    return [
        {"k": "a", "ts": datetime.fromisoformat(f"2024-{ts}"), column: value} for ts, value in pairs
    ]


def check(
    view: BatchFeatureView,
    view_by_hand: View,
    raw: Sequence[dict[str, Any]],
    expected: Mapping[str, Sequence[Any]],
) -> None:
    """`expected`: instant -> the features' values in order.

    One run for each day and one for all days agree.
    """
    plain = [
        {"amt": None, "word": None} | row | {"ts": micros(row["ts"].isoformat())} for row in raw
    ]
    with Rig(view, COLUMNS, rows=raw) as at_once, Rig(view, COLUMNS, rows=raw) as daily:
        at_once.materialize(micros(START), micros(END))
        for day in range(micros(START), micros(END), DAY):
            daily.materialize(day, day + DAY)
        assert daily.table("history") != []
        for rig in (at_once, daily):
            reader = Reader(rig.table(), ["k"], "valid_to")
            for text, values in expected.items():
                instant = micros(f"2024-{text}")
                found = reader.at(["a"], instant) or view_by_hand.nothing()
                by_hand = view_by_hand.value(plain, ["a"], instant)
                for feature, value in zip(view_by_hand.features, values, strict=True):
                    assert same(by_hand[feature.name], value), (
                        f"oracle, {text}, {feature.name}: {by_hand}"
                    )
                    assert same(found[feature.name], value), (
                        f"engine, {text}, {feature.name}: {found}"
                    )


def test_vector_a() -> None:
    view = subject_of(
        Aggregate("sum", "amt", windows=["1d"]),
        Aggregate("count", "amt", windows=["1d"]),
        Aggregate("mean", "amt", windows=["2d"]),
        Aggregate("sum", "amt", windows=["1d"], offset="-1d"),
    )
    by_hand = View(
        keys=["k"],
        time="ts",
        features=[
            WindowFeature("amt_sum_1d", "sum", "amt", DAY),
            WindowFeature("amt_count_1d", "count", "amt", DAY),
            WindowFeature("amt_mean_2d", "mean", "amt", 2 * DAY),
            WindowFeature("amt_sum_1d_offset_1d", "sum", "amt", DAY, -DAY),
        ],
        schedule=DAY,
        start=micros(START),
    )
    raw = rows(
        "amt", ("01-01 00:00", 1), ("01-01 12:00", 2), ("01-02 00:00", 4), ("01-03 06:00", None)
    )
    expected: dict[str, Sequence[Any]] = {
        "01-01 23:59:59": (None, 0, None, None),
        "01-02 00:00": (3, 2, 1.5, None),
        "01-02 12:00": (3, 2, 1.5, None),
        "01-03 00:00": (4, 1, 7 / 3, 3),
        "01-04 00:00": (None, 0, 4.0, 4),
        "01-05 00:00": (None, 0, None, None),
    }
    check(view, by_hand, raw, expected)


WORDS = rows(
    "word", ("01-01 00:00", "a"), ("01-01 12:00", "b"), ("01-02 00:00", "c"), ("01-05 06:00", None)
)


def by_hand_b(ttl: int | None) -> View:
    return View(["k"], "ts", [RowFeature("word")], DAY, micros(START), delay=2 * HOUR, ttl=ttl)


def test_vector_b_without_ttl() -> None:
    expected: dict[str, Sequence[Any]] = {
        "01-02 01:59:59": [None],
        "01-02 02:00": ["b"],
        "01-03 01:59:59": ["b"],
        "01-03 02:00": ["c"],
        "01-06 01:59": ["c"],
        "01-06 02:00": [None],
    }
    check(subject_of(Attribute("word", "string"), delay="2h"), by_hand_b(None), WORDS, expected)


def test_vector_b_with_ttl() -> None:
    expected: dict[str, Sequence[Any]] = {
        "01-02 01:59:59": [None],
        "01-03 02:00": ["c"],
        "01-05 01:59:59": ["c"],
        "01-05 01:59:59.999999": ["c"],
        "01-05 02:00": [None],
        "01-06 02:00": [None],
    }
    check(
        subject_of(Attribute("word", "string"), delay="2h", ttl="2d"),
        by_hand_b(2 * DAY),
        WORDS,
        expected,
    )


def test_vector_b_with_a_ttl_below_the_schedule_is_refused() -> None:
    with pytest.raises(Problems, match="ttl 1h is not a multiple of its schedule 1d"):
        Rig(subject_of(Attribute("word", "string"), ttl="1h"), COLUMNS)


def test_vector_c() -> None:
    view = subject_of(Aggregate("sum", "amt", windows=["3d"]), delay="2h")
    by_hand = View(
        ["k"],
        "ts",
        [WindowFeature("amt_sum_3d", "sum", "amt", 3 * DAY)],
        DAY,
        micros(START),
        delay=2 * HOUR,
    )
    raw = rows(
        "amt", ("01-01 00:00", 1), ("01-01 12:00", 2), ("01-02 00:00", 4), ("01-03 06:00", 8)
    )
    expected: dict[str, Sequence[Any]] = {
        "01-02 01:59:59": [None],
        "01-02 02:00": [3],
        "01-03 02:00": [7],
        "01-03 07:30": [7],
        "01-04 02:00": [15],
        "01-05 02:00": [12],
        "01-06 02:00": [8],
        "01-07 02:00": [None],
    }
    check(view, by_hand, raw, expected)


def test_the_first_value_knows_all_that_its_windows_hold() -> None:
    # The only event lies deep in the window of the first value: what lies before the start is read
    # back, not lost.
    view = subject_of(Aggregate("sum", "amt", windows=["5d"]))
    by_hand = View(
        ["k"], "ts", [WindowFeature("amt_sum_5d", "sum", "amt", 5 * DAY)], DAY, micros(START)
    )
    raw = [{"k": "a", "ts": datetime.fromisoformat("2023-12-28 10:00"), "amt": 3}]
    expected: dict[str, Sequence[Any]] = {
        "01-01 23:59:59": [None],
        "01-02 00:00": [3],
        "01-02 23:59:59": [3],
        "01-03 00:00": [None],
    }
    check(view, by_hand, raw, expected)
