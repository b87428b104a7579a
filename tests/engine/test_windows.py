"""Windows that a length alone does not describe, at the days where they could go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane import (
    Aggregate,
    BatchFeatureView,
    BatchSource,
    Calendar,
    Entity,
    Series,
    batch_feature_view,
)
from tests.engine.rig import Reader, Rig, micros

COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT", "shop": "VARCHAR"}


def view_of(
    *features: Aggregate,
    start: str,
    schedule: str = "1h",
    phase: str = "0s",
    tile: str | None = None,
) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=features,
        schedule=schedule,
        start=start,
        phase=phase,
        aggregation_interval=tile,
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def event(ts: str, amt: int | None = 1, shop: str | None = None, k: str = "a") -> dict[str, Any]:
    return {"k": k, "ts": datetime.fromisoformat(ts), "amt": amt, "shop": shop}


def hourly(start: str, count: int) -> list[dict[str, Any]]:
    """One event in each hour, each worth one."""
    first = datetime.fromisoformat(start)
    return [event((first + timedelta(hours=n, minutes=30)).isoformat()) for n in range(count)]


def looks(
    view: BatchFeatureView, rows: Sequence[Mapping[str, Any]], end: str, *instants: str
) -> list[Any]:
    """The view's values at each instant, without their names where there is one."""
    with Rig(view, COLUMNS, rows=rows) as rig:
        rig.materialize(micros(view.start), micros(end))
        reader = Reader(rig.table(), ["k"], "valid_to")
        names = [feature.name for feature in rig.view.features]
        found = [reader.at(["a"], micros(instant)) or {} for instant in instants]
    values = [[row.get(name) for name in names] for row in found]
    return [row[0] if len(names) == 1 else row for row in values]


def test_vector_d() -> None:
    view = view_of(
        Aggregate("sum", "amt", windows=[Series("1d", 3)]),
        Aggregate("count", "amt", windows=[Series("1d", 3)]),
        start="2024-01-01",
        schedule="1d",
    )
    rows = [
        *(event("2024-01-01T06:00", 1), event("2024-01-01T18:00", 3)),
        *(
            event("2024-01-02T06:00", 5),
            event("2024-01-02T18:00", 7),
            event("2024-01-04T06:00", 11),
        ),
        event("2024-01-03T06:00", 99, k="b"),
    ]
    assert looks(view, rows, "2024-01-10", "2024-01-05") == [[[12, None, 11], [2, 0, 1]]]


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2024-03-09", 24), ("2024-03-10", 23), ("2024-11-02", 24), ("2024-11-03", 25)],
)
def test_a_day_in_new_york_has_the_hours_of_its_clocks(day: str, hours: int) -> None:
    begin = datetime.fromisoformat(day)
    start = (begin - timedelta(days=1)).date().isoformat()
    view = view_of(
        Aggregate("count", windows=[Calendar("day", zone="America/New_York", ago=1)]), start=start
    )
    after = (
        begin + timedelta(days=1, hours=12)
    ).isoformat()  # at noon UTC the next day has begun there
    end = (begin + timedelta(days=3)).date().isoformat()
    assert looks(view, hourly(start, 96), end, after) == [hours]


def test_a_day_begins_at_its_first_instant_where_midnight_is_left_out() -> None:
    """In São Paulo the clocks went from midnight to one o'clock as 4 November 2018 began, at 03:00
    UTC."""
    view = view_of(
        Aggregate("count", windows=[Calendar("day", zone="America/Sao_Paulo")]), start="2018-11-03"
    )
    rows = hourly("2018-11-03", 48)
    assert looks(
        view, rows, "2018-11-05", "2018-11-04T02:00", "2018-11-04T03:00", "2018-11-04T05:00"
    ) == [23, 0, 2]


def test_a_day_that_a_zone_left_out_is_none() -> None:
    """Samoa had no 30 December 2011: the day before the 31st is the 29th."""
    window = Calendar("day", zone="Pacific/Apia", ago=1)
    view = view_of(Aggregate("min", "amt", windows=[window]), start="2011-12-28")
    rows = [
        event("2011-12-29T20:00", 29),
        event("2011-12-30T09:00", 29),
        event("2011-12-30T12:00", 31),
    ]
    found = looks(
        view, rows, "2012-01-02", "2011-12-30T09:00", "2011-12-30T11:00", "2011-12-31T11:00"
    )
    assert found == [None, 29, 31]


def test_months_so_far_and_before() -> None:
    view = view_of(
        Aggregate(
            "sum",
            "amt",
            windows=[
                Calendar("month"),
                Calendar("month", ago=1),
                Calendar("month", count=2, ago=1),
            ],
        ),
        start="2024-01-01",
        schedule="1d",
    )
    rows = [
        event("2024-01-31T23:59", 1),
        event("2024-02-01T00:00", 2),
        event("2024-02-29T12:00", 4),
    ]
    instants = ("2024-02-01", "2024-02-02", "2024-03-01", "2024-04-01", "2024-05-01")
    assert looks(view, rows, "2024-05-02", *instants) == [
        [None, 1, 1],
        [2, 1, 1],
        [None, 6, 7],
        [None, None, 6],
        [None, None, None],
    ]


def test_a_lifetime_begins_at_the_start_and_never_ends() -> None:
    view = view_of(
        Aggregate("sum", "amt", windows=["lifetime", "5d"]),
        Aggregate("count_distinct", "shop", windows=["lifetime"]),
        start="2024-01-05",
        schedule="1d",
    )
    rows = [
        event("2024-01-04T12:00", 100, "x"),
        event("2024-01-05T12:00", 1, "y"),
        event("2024-01-09T12:00", 2, "y"),
    ]
    found = looks(view, rows, "2025-01-05", "2024-01-06", "2024-01-10", "2025-01-05")
    assert found == [[1, 101, 1], [3, 3, 1], [3, None, 1]]


def test_one_value_for_each_value_of_a_second_key() -> None:
    view = view_of(
        Aggregate("sum", "amt", windows=["2d"], by="shop"),
        Aggregate("last_n", "amt", windows=["2d"], by="shop", n=2, where="amt > 1"),
        start="2024-01-01",
        schedule="1d",
    )
    rows = [
        *(
            event("2024-01-01T01:00", 3, "b"),
            event("2024-01-01T02:00", 1, "a"),
            event("2024-01-01T03:00", 4, "b"),
        ),
        *(
            event("2024-01-01T04:00", 9, None),
            event("2024-01-02T05:00", None, "é"),
            event("2024-01-02T06:00", 5, "b"),
        ),
    ]
    found = looks(view, rows, "2024-01-10", "2024-01-03", "2024-01-04", "2024-01-05")
    assert found == [
        [[1, 12, None], ["a", "b", "é"], [[4, 5]], ["b"]],
        [[5, None], ["b", "é"], [[5]], ["b"]],
        [[], [], [], []],
    ]


def test_weeks_can_begin_on_mondays() -> None:
    # 1 January 2024 is a Monday.
    view = view_of(
        Aggregate("count", windows=["7d"]), start="2024-01-01", schedule="7d", phase="4d", tile="1d"
    )
    assert looks(
        view, hourly("2024-01-07", 48), "2024-01-22", "2024-01-07T23:00", "2024-01-08", "2024-01-15"
    ) == [
        None,
        24,
        24,
    ]
