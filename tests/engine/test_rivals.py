"""Holes in other feature stores, each a test here: what was measured there must not be true of us.

The holes were found by running Feast 0.67, the SQL of Snowflake's Feature Store and Tecton's
engine. Those of reading online are in `tests/serving/test_rivals.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
from controlplane.errors import PermanentError, Problems
from controlplane.materialize.run import missing
from controlplane.training import datasets
from controlplane.verify.oracle import View, WindowFeature, same
from tests.engine.rig import Rig, micros, records

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "n": "BIGINT", "ts": "TIMESTAMP", "amt": "BIGINT", "x": "DOUBLE"}
BIG = 2**53 + 1
"""The first whole number that a double can't hold."""


def subject_of(
    *features: Attribute | Aggregate,
    keys: Mapping[str, str] | None = None,
    schedule: str = "1d",
    tile: str | None = None,
    ttl: str | None = None,
    owner: str = "team",
) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[Entity("thing", keys=keys or {"k": "string"}, owner="team")],
        sources=[events],
        features=features,
        schedule=schedule,
        aggregation_interval=tile,
        start="2024-01-01",
        ttl=ttl,
        owner=owner,
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def row(ts: str, amt: int | None = 1, **others: Any) -> dict[str, Any]:
    return {
        "k": "a",
        "n": 1,
        "ts": datetime.fromisoformat(f"2024-{ts}"),
        "amt": amt,
        "x": None,
    } | others


def at(text: str) -> int:
    return micros(f"2024-{text}")


AMOUNT = Attribute("amt", "int64")
SUM = Aggregate("sum", "amt", windows=["1d"])


def test_a12_a_spine_keeps_its_rows_their_order_and_their_columns() -> None:
    """Feast's file store drops spine rows whose value has expired or lies ahead, and merges
    duplicates: 73,495 rows came back of 100,000, and labels were lost."""
    spine = """SELECT * FROM (VALUES
        ('a', TIMESTAMP '2024-01-09', 'expired'), ('a', TIMESTAMP '2024-01-02', 'twice'),
        ('a', TIMESTAMP '2024-01-02', 'twice'), ('a', TIMESTAMP '2023-01-01', 'before'),
        (NULL, TIMESTAMP '2024-01-02', 'no key'), ('b', TIMESTAMP '2024-01-02', 'unknown'), ('a', NULL, 'no time')
    ) AS spine(k, t, label)"""
    with Rig(subject_of(AMOUNT, ttl="2d"), COLUMNS, rows=[row("01-01", 5)]) as rig:
        rig.materialize(START, START + 9 * DAY)
        made = datasets.create(
            rig.manifest,
            rig.warehouse,
            name="looks",
            service="all",
            spine=spine,
            time="t",
            created_by="us",
        )
        found = records(rig.warehouse, f"SELECT * FROM {made.table}")
    assert [r["label"] for r in found] == [
        "expired",
        "twice",
        "twice",
        "before",
        "no key",
        "unknown",
        "no time",
    ]
    assert [r["subject__amt"] for r in found] == [None, 5, 5, None, None, None, None]
    assert list(found[0]) == ["k", "t", "label", "subject__amt"]


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        (
            "string",
            [
                ("a", "bc"),
                ("ab", "c"),
                ("", "abc"),
                ("a|b", "c"),
                ("a", "b|c"),
                ("{a", "b}c"),
                ("A", "bc"),
            ],
        ),
        ("int64", [(1, 23), (12, 3), (-1, 23), (0, 123)]),
    ],
)
def test_keys_whose_texts_collide_are_different_keys(
    kind: str, pairs: Sequence[tuple[Any, Any]]
) -> None:
    """Feast's Spark and Snowflake templates put key parts together as text without a separator: (1,
    23) and (12, 3) at one time give four rows for two, with values of each other."""
    columns = COLUMNS | {"k": "VARCHAR" if kind == "string" else "BIGINT"} | {"j": "VARCHAR"}
    columns["j"] = columns["k"]
    rows = [row("01-01", number, k=one, j=other) for number, (one, other) in enumerate(pairs)]
    with Rig(subject_of(AMOUNT, SUM, keys={"k": kind, "j": kind}), columns, rows=rows) as rig:
        rig.materialize(START, START + DAY)
        found = rig.training_set([(pair, START + DAY) for pair in pairs])
        assert len(rig.table("latest")) == len(pairs)
    assert [(r["amt"], r["amt_sum_1d"]) for r in found] == [
        (number, number) for number in range(len(pairs))
    ]


def test_a_row_that_comes_late_is_not_in_training_before_it_is_computed() -> None:
    """Feast joins a row that was created five days after the label's time: training sees what
    serving could not."""
    with Rig(subject_of(AMOUNT, SUM), COLUMNS, rows=[row("01-01 10:00", 1)]) as rig:
        rig.materialize(START, START + 2 * DAY)
        rig.add([row("01-01 20:00", 100)])
        asked = [(("a",), at("01-02 12:00"))]
        [before] = rig.training_set(asked)
        rig.materialize(START + 2 * DAY, START + 6 * DAY)
        [still] = rig.training_set(asked)
        rig.materialize(START, START + DAY)
        [healed] = rig.training_set(asked)
    assert (before["amt"], before["amt_sum_1d"]) == (still["amt"], still["amt_sum_1d"]) == (1, 1)
    assert (healed["amt"], healed["amt_sum_1d"]) == (100, 101)


def test_integers_stay_exact_beside_nulls() -> None:
    """Feast carries integers with a null among them as doubles: 2^53 + 1 became 2^53."""
    view = subject_of(
        AMOUNT,
        Aggregate("sum", "amt", windows=["2d"]),
        Aggregate("last_n", "amt", n=2, windows=["2d"], name="last"),
    )
    rows = [
        row("01-01", BIG),
        row("01-02", None),
        row("01-02", None, k="b"),
        row("01-02", -BIG, k="c"),
    ]
    with Rig(view, COLUMNS, rows=rows) as rig:
        rig.materialize(START, START + 2 * DAY)
        asked = [
            (("a",), START + DAY),
            (("a",), START + 2 * DAY),
            (("b",), START + 2 * DAY),
            (("c",), START + 2 * DAY),
        ]
        found = rig.training_set(asked)
    assert [(r["amt"], r["amt_sum_2d"], r["last_2d"]) for r in found] == [
        (BIG, BIG, [BIG]),
        (None, BIG, [BIG]),
        (None, None, []),
        (-BIG, -BIG, [-BIG]),
    ]


def test_a_correction_of_equal_time_counts() -> None:
    """Feast drops a corrected row whose time is that of the wrong one: 1.0 stayed although it was
    10.0."""
    with Rig(subject_of(AMOUNT, SUM), COLUMNS, rows=[row("01-01 10:00", 1)]) as rig:
        rig.materialize(START, START + DAY)
        rig.replace([row("01-01 10:00", -10)])
        rig.materialize(START, START + DAY)
        assert [(r["amt"], r["amt_sum_1d"]) for r in rig.table("latest")] == [(-10, -10)]
        assert rig.table()[0]["amt"] == -10


def test_what_is_deleted_at_the_source_is_gone() -> None:
    """Feast has no tombstones: an entity that vanished from its source is served for ever."""
    rows = [row("01-01 10:00", 1), row("01-01 10:00", 2, k="b")]
    with Rig(subject_of(AMOUNT, SUM), COLUMNS, rows=rows) as rig:
        rig.materialize(START, START + DAY)
        rig.replace(rows[1:])
        rig.materialize(START, START + DAY)
        for part in ("", "tiles", "history"):
            assert {r["k"] for r in rig.table(part)} == {"b"}
        assert {(r["k"], r["is_deleted"]) for r in rig.table("latest")} == {
            ("a", True),
            ("b", False),
        }
        [found] = rig.training_set([(("a",), START + DAY)])
        assert (found["amt"], found["amt_sum_1d"]) == (None, None)


@pytest.mark.parametrize(
    ("tile", "window", "schedule"),
    [("15m", "1h", "15m"), ("15m", "1h", "1h"), ("12h", "1d", "12h")],
)
def test_no_event_is_lost_between_tiles(tile: str, window: str, schedule: str) -> None:
    """Snowflake's Feature Store cuts the spine's time to one unit where tiles are n units: 15
    minute tiles in windows of an hour lose 23 % of the events, 12 hours in 24 lose 46 %."""
    sizes = {"15m": 15 * MINUTE, "1h": HOUR, "12h": 12 * HOUR, "1d": DAY}
    times = range(START, START + 2 * DAY, 7 * MINUTE + 13)
    rows = [
        row("01-01", 1) | {"ts": datetime.fromtimestamp(t / 1e6, UTC).replace(tzinfo=None)}
        for t in times
    ]
    by_hand = View(
        ["k"],
        "ts",
        [WindowFeature("w", "sum", "amt", sizes[window])],
        schedule=sizes[schedule],
        start=START,
    )
    plain = [{"k": "a", "ts": micros(r["ts"].isoformat()), "amt": 1} for r in rows]
    view = subject_of(
        Aggregate("sum", "amt", windows=[window], name="w"), schedule=schedule, tile=tile
    )
    asked = [(("a",), START + 5 * HOUR + number * 37 * MINUTE + number) for number in range(60)]
    with Rig(view, COLUMNS, rows=rows) as rig:
        rig.materialize(START, START + 2 * DAY)
        found = rig.training_set(asked)
    for (key, instant), values in zip(asked, found, strict=True):
        assert values[f"w_{window}"] == by_hand.value(plain, key, instant)["w"]


def test_runs_that_repeat_never_count_twice() -> None:
    """Tecton's documentation calls re-runs of aggregate jobs unsafe: tiles add up."""
    with Rig(
        subject_of(SUM, Aggregate("count", windows=["1d"])),
        COLUMNS,
        rows=[row("01-01", 5), row("01-02", 7)],
    ) as rig:
        for _ in range(3):
            rig.materialize(START, START + DAY)
            rig.materialize(START, START + 2 * DAY)
        assert [(r["amt_sum_1d"], r["count_1d"]) for r in rig.table()] == [(5, 1), (7, 1)]
        assert len(rig.table("tiles")) == 2


def test_one_huge_value_spoils_no_later_window() -> None:
    """Windows that are differences of prefix sums carry 1e12, a NaN or an infinity into every later
    window."""
    values = [1e12, float("nan"), float("inf"), 0.03]
    rows = [row(f"01-0{day}", x=value) for day, value in enumerate(values, start=1)]
    with Rig(subject_of(Aggregate("sum", "x", windows=["1d"])), COLUMNS, rows=rows) as rig:
        rig.materialize(START, START + 4 * DAY)
        found = [r["x_sum_1d"] for r in rig.table()]
    assert all(same(told, value) for told, value in zip(found, values, strict=True))
    assert found[-1] == 0.03


def test_a_column_that_is_not_there_is_refused_at_once() -> None:
    """Feast applies a schema with a column that does not exist.

    The error comes when values are computed.
    """
    with pytest.raises(Problems, match="nothing"):
        Rig(subject_of(Attribute("nothing", "int64")), COLUMNS)


def test_what_failed_is_still_to_be_done() -> None:
    """Feast moved its state forward before the work had succeeded, and an apply wiped the intervals
    that were done."""
    rows = [row("01-01"), row("01-02", 2**63 - 1), row("01-02", 1)]
    with Rig(subject_of(SUM), COLUMNS, rows=rows) as rig:
        rig.materialize(START, START + DAY)
        with pytest.raises(PermanentError):
            rig.materialize(START + DAY, START + 2 * DAY)
        assert rig.head().watermark == datetime(2024, 1, 2, tzinfo=UTC)
        assert rig.run("SELECT count(*) FROM _plane.ledger") == [(1,)]
        before = rig.view.fingerprint
    with Rig(subject_of(SUM, owner="others"), COLUMNS) as theirs:
        assert theirs.view.fingerprint == before


def test_nothing_is_computed_before_its_time() -> None:
    """In Feast a run with an end in the future made every later incremental run skip what had not
    happened yet."""
    with Rig(subject_of(SUM), COLUMNS) as rig:
        [due] = missing(rig.program, [], datetime(2024, 1, 3, 23, tzinfo=UTC))
    assert due.end == datetime(2024, 1, 3, tzinfo=UTC)
