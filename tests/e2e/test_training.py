"""Training sets of tiny projects: refused where values would be stale, exact, and never a row more
or less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from controlplane import ControlPlane
from controlplane.base.types import Interval
from controlplane.serving import Status
from tests.e2e.conftest import Make
from tests.e2e.projects import insert, plane, sql

HEAD = """
from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view

WHO = "team@example.com"
"""
DAILY = (
    HEAD
    + """
user = Entity("user", keys={"name": "string"}, owner=WHO)
events = BatchSource("events", table="raw.events", timestamp="ts", settling_delay="2h")


@batch_feature_view(
    entities=[user], sources=[events], schedule="1d", start="2024-01-01", owner=WHO, features=[
        Attribute("amount", "int64"), Aggregate("count", windows=["1d"]), Aggregate("sum", "amount", windows=["3d"]),
    ],
)
def payments(events):
    return f"SELECT name, ts, amount FROM {events}"


@batch_feature_view(
    entities=[user], sources=[events], schedule="1d", start="2024-01-01", ttl="2d", owner=WHO,
    features=[Attribute("amount", "int64")],
)
def recent(events):
    return f"SELECT name, ts, amount FROM {events}"


risk = FeatureService("risk", features=[payments, recent], owner=WHO)
"""
)
EVENTS = "CREATE SCHEMA raw; CREATE TABLE raw.events (name VARCHAR, ts TIMESTAMP, amount BIGINT)"
BIG = 2**53 + 1
"""The smallest integer that a double does not know."""


def day(number: int, hour: float = 0) -> datetime:
    """An instant of January 2024, in UTC without a zone."""
    return datetime(2024, 1, 1) + timedelta(days=number - 1, hours=hour)  # noqa: DTZ001


def train(
    folder: Path, spine: str, *, allow_gaps: bool = False, service: str = "risk"
) -> list[dict[str, Any]]:
    """The rows of a new training set, in their order."""
    with ControlPlane(folder) as project:
        created = project.create_dataset(
            "t", service=service, spine=spine, time="asked_at", allow_gaps=allow_gaps
        )
    names = [name for name, *_ in sql(folder, f"DESCRIBE {created.table}")]
    return [
        dict(zip(names, row, strict=True))
        for row in sql(folder, f"SELECT * FROM {created.table} ORDER BY rowid")
    ]


def compute(
    folder: Path, first: int | None = None, last: int | None = None, *, recompute: bool = False
) -> None:
    """Compute what is due, or the days from `first` until before `last`."""
    within = None
    if first is not None and last is not None:
        within = Interval(day(first).replace(tzinfo=UTC), day(last).replace(tzinfo=UTC))
    with ControlPlane(folder) as project:
        project.deploy()
        project.run(within=within, recompute=recompute)


def spine_of(
    folder: Path,
    *rows: tuple[Any, ...],
    columns: str = "name VARCHAR, asked_at TIMESTAMP, label VARCHAR",
) -> str:
    """A table of spine rows."""
    sql(folder, f"CREATE OR REPLACE TABLE raw.spine ({columns})")
    insert(folder, "raw.spine", rows)
    return "raw.spine"


def test_training_beyond_the_ledger_is_refused_and_the_gaps_are_named(project: Make) -> None:
    folder = project(DAILY, EVENTS, now="2024-01-09T12:00:00Z")
    insert(folder, "raw.events", [("ann", day(number, 12), number) for number in range(1, 9)])
    compute(folder, 1, 3)
    compute(folder, 5, 6)
    spine_of(folder, ("ann", day(8, 3), "x"), ("ann", day(3, 3), "y"))
    (folder / "spine.sql").write_text("SELECT * FROM raw.spine;\n")
    create = (
        "dataset",
        "create",
        "t",
        "--service",
        "risk",
        "--spine",
        "spine.sql",
        "--time",
        "asked_at",
    )
    refused = plane(folder, *create, exits=1)
    gaps = (
        "[2024-01-03T00:00:00Z, 2024-01-05T00:00:00Z), [2024-01-06T00:00:00Z, 2024-01-08T00:00:00Z)"
        " (schedule 1d)"
    )
    for view in ("payments", "recent"):
        assert (
            f"error: feature view '{view}' is not computed as far as the spine needs: {gaps}"
            in refused.stderr
        )
    assert "--allow-gaps" in refused.stderr
    assert refused.stdout == ""
    assert sql(
        folder, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'datasets'"
    ) == [(0,)]

    allowed = plane(folder, *create, "--allow-gaps")
    assert allowed.stdout == 'created "datasets"."t__v1" with 2 rows\n'
    seen = (
        "SELECT label, payments__amount, payments__count_1d, recent__amount FROM datasets.t__v1"
        " ORDER BY rowid"
    )
    # Carried over the gap as it was asked for; what has a time to live dies in it.
    assert sql(folder, seen) == [("x", 2, 1, None), ("y", 2, 1, 2)]

    [early] = train(folder, "SELECT name, asked_at FROM raw.spine WHERE label = 'y'")
    assert early["payments__amount"] == 2
    compute(folder)
    [late, _] = train(folder, "raw.spine")
    assert (late["payments__amount"], late["payments__amount_sum_3d"]) == (7, 7 + 6 + 5)


def test_integers_are_exact_beside_nulls(project: Make) -> None:
    folder = project(DAILY, EVENTS, now="2024-01-04T12:00:00Z")
    extremes = {"big": BIG, "least": -(2**63), "most": 2**63 - 1, "null": None, "negative": -BIG}
    insert(folder, "raw.events", [(name, day(3, 12), amount) for name, amount in extremes.items()])
    insert(
        folder,
        "raw.events",
        [("two", day(3, 1), BIG), ("two", day(3, 2), None), ("two", day(3, 3), 2)],
    )
    compute(folder)
    wanted = {name: (amount, amount) for name, amount in extremes.items()} | {"two": (2, BIG + 2)}
    history = sql(
        folder,
        "SELECT name, amount, amount_sum_3d FROM features.payments WHERE valid_from = '2024-01-04"
        " 02:00'",
    )
    assert {name: tuple(values) for name, *values in history} == wanted
    spine = spine_of(folder, *((name, day(4, 3), "x") for name in [*wanted, None, "nobody"]))
    rows = {row["name"]: row for row in train(folder, spine)}
    with ControlPlane(folder) as plane_:
        online = {name: plane_.get("risk", {"name": name}) for name in wanted}
    for name, values in wanted.items():
        for found in (rows[name], online[name]):
            assert (found["payments__amount"], found["payments__amount_sum_3d"]) == values, name
            assert found["recent__amount"] == values[0]
    assert online["null"].status("payments__amount") is Status.NULL
    assert rows["nobody"]["payments__amount"] is None
    types = sql(
        folder,
        "SELECT typeof(payments__amount), typeof(payments__amount_sum_3d) FROM datasets.t__v1"
        " LIMIT 1",
    )
    assert types == [("BIGINT", "BIGINT")]


def test_spine_rows_stay_whatever_is_known_of_them(project: Make) -> None:
    """A value that is too old, values that all come later, nobody, no key, one row twice: a row
    each, in order."""
    folder = project(DAILY, EVENTS, now="2024-01-09T12:00:00Z")
    insert(
        folder,
        "raw.events",
        [
            ("old", day(1, 12), 1),
            ("new", day(8, 12), 2),
            ("null", day(2), 3),
            ("null", day(3), None),
        ],
    )
    compute(folder)
    given = [
        ("old", day(6), "expired"),
        ("new", day(2), "only later values"),
        ("nobody", day(6), "unknown"),
        (None, day(6), "no key"),
        ("old", day(3), "twice"),
        ("old", day(3), "twice"),
        ("old", day(3), "twice, but for the label"),
        ("old", None, "no time"),
        ("null", day(5), "a later null hides an earlier value"),
        ("old", day(4, 2), "the instant of the expiry"),
        ("old", day(4, 1.999), "just before it"),
    ]
    rows = train(folder, spine_of(folder, *given))
    assert [(row["name"], row["asked_at"], row["label"]) for row in rows] == given
    seen = [
        (row["payments__amount"], row["payments__count_1d"], row["recent__amount"]) for row in rows
    ]
    assert seen == [
        (1, 0, None),
        (None, 0, None),
        (None, 0, None),
        (None, 0, None),
        (1, 1, 1),
        (1, 1, 1),
        (1, 1, 1),
        (None, 0, None),
        (None, 1, None),
        (1, 0, None),
        (1, 0, 1),
    ]


PAIRED = (
    HEAD
    + """
pair = Entity("pair", keys={{"a": "{kind}", "b": "{kind}"}}, owner=WHO)
events = BatchSource("events", table="raw.events", timestamp="ts")


@batch_feature_view(
    entities=[pair], sources=[events], schedule="1d", start="2024-01-01", owner=WHO,
    features=[Attribute("amount", "int64"), Aggregate("sum", "amount", windows=["1d"])],
)
def of_pairs(events):
    return f"SELECT a, b, ts, amount FROM {{events}}"


risk = FeatureService("risk", features=[of_pairs], owner=WHO)
"""
)


LOOK_ALIKE = [
    "1~23",
    "12~3",
    "a|b~c",
    "a~b|c",
    "~ab",
    "ab~",
    "{a}~b",
    "a}{~b",
    "a,b~c",
    "a~b,c",
    "a\0b~c",
    "a~\0bc",
]
LOOK_ALIKE += ["ä~b", "a~\u0308b", "%2C~,", ",~%2C", "a:b~c", "a~b:c", "A~b", "a~B"]


@pytest.mark.parametrize(
    ("kind", "column", "keys"),
    [
        ("int64", "BIGINT", [(1, 23), (12, 3), (123, 0), (0, 123), (-1, 23), (1, -23)]),
        (
            "string",
            "VARCHAR",
            [tuple(text.split("~")) for text in LOOK_ALIKE],
        ),
    ],
)
def test_keys_that_look_alike_side_by_side_stay_apart(
    project: Make, kind: str, column: str, keys: list[tuple[Any, Any]]
) -> None:
    """(1, 23) and (12, 3) at one instant: two rows with their own values, in training and in
    Redis."""
    events = (
        f"CREATE SCHEMA raw; CREATE TABLE raw.events (a {column}, b {column}, ts TIMESTAMP, amount"
        " BIGINT)"
    )
    folder = project(PAIRED.format(kind=kind), events, now="2024-01-04T12:00:00Z")
    insert(folder, "raw.events", [(a, b, day(3, 12), number) for number, (a, b) in enumerate(keys)])
    compute(folder)
    spine = spine_of(
        folder,
        *((a, b, day(4)) for a, b in keys),
        columns=f"a {column}, b {column}, asked_at TIMESTAMP",
    )
    rows = train(folder, spine)
    assert [(row["a"], row["b"], row["of_pairs__amount"]) for row in rows] == [
        (*k, n) for n, k in enumerate(keys)
    ]
    assert [row["of_pairs__amount_sum_1d"] for row in rows] == list(range(len(keys)))
    with ControlPlane(folder) as plane_:
        online = plane_.reader("risk").get([{"a": a, "b": b} for a, b in keys])
        unknown = plane_.get("risk", {"a": keys[0][0], "b": keys[1][1]})
    assert [read["of_pairs__amount"] for read in online] == list(range(len(keys)))
    assert unknown.status("of_pairs__amount") is Status.MISSING


def test_a_late_row_within_the_settling_delay_never_leaks(project: Make) -> None:
    """Happened on the 1st at 23:00, arrived on the 2nd at 01:00: a label of 00:30 can't have known
    it."""
    folder = project(DAILY, EVENTS, now="2024-01-02T02:00:00Z")
    insert(folder, "raw.events", [("ann", day(1, 9), 1)])
    # Arrives within the delay, before its day is computed.
    insert(folder, "raw.events", [("ann", day(1, 23), 2)])
    compute(folder)
    spine = spine_of(
        folder, *(("ann", moment, "") for moment in (day(2, 0.5), day(2, 1.999), day(2, 2)))
    )
    assert [row["payments__amount"] for row in train(folder, spine)] == [None, None, 2]
    assert [row["payments__count_1d"] for row in train(folder, spine)] == [0, 0, 2]


def test_a_row_later_than_that_is_unseen_until_its_day_is_computed_again(project: Make) -> None:
    """What is computed again counts from its scheduled time on: also for labels from before the row
    arrived."""
    folder = project(DAILY, EVENTS, now="2024-01-05T12:00:00Z")
    insert(folder, "raw.events", [("ann", day(1, 9), 1)])
    compute(folder)
    insert(folder, "raw.events", [("ann", day(1, 23), 2)])
    spine = spine_of(folder, ("ann", day(2, 2), ""), ("ann", day(4), ""))
    compute(folder)
    assert [
        (row["payments__amount"], row["payments__amount_sum_3d"]) for row in train(folder, spine)
    ] == [
        (1, 1),
        (1, 1),
    ]
    with ControlPlane(folder) as plane_:
        assert plane_.get("risk", {"name": "ann"})["payments__amount"] == 1
    compute(folder, 1, 2, recompute=True)
    assert [
        (row["payments__amount"], row["payments__amount_sum_3d"]) for row in train(folder, spine)
    ] == [
        (2, 3),
        (2, 3),
    ]
    with ControlPlane(folder) as plane_:
        assert plane_.get("risk", {"name": "ann"})["payments__amount"] == 2


def test_a_column_that_is_not_there_is_told_by_the_plan(project: Make) -> None:
    folder = project(
        DAILY.replace('Attribute("amount", "int64")', 'Attribute("amuont", "int64")'),
        EVENTS,
        now="2024-01-02",
    )
    said = plane(folder, "plan", exits=1).stderr
    assert "features/tiny.py:" in said
    assert "amuont" in said
    assert "amount" in said.replace("amuont", "")


def test_nanoseconds_are_refused_with_a_remedy_that_works(project: Make, tmp_path: Path) -> None:
    """Parquet as pandas writes it: nanoseconds with a zone, which are not cast behind anybody's
    back."""
    nanoseconds = [1_704_067_200_000_001_000, 1_704_153_599_999_999_000]
    instants = pa.array(nanoseconds, pa.timestamp("ns", "UTC"))
    pq.write_table(
        pa.table({"name": ["ann", "bob"], "ts": instants, "amount": [1, 2]}),
        tmp_path / "events.parquet",
    )
    view = "CREATE OR REPLACE VIEW raw.events AS SELECT {columns} FROM read_parquet('{file}')"
    make = view.format(columns="*", file=tmp_path / "events.parquet")
    folder = project(DAILY, "CREATE SCHEMA raw", make, now="2024-01-02T02:00:00Z")
    said = plane(folder, "deploy", exits=1).stderr
    assert "source 'events': column 'ts' is TIMESTAMPTZ_NS, not a timestamp" in said
    assert "give a SQL expression that converts it" in said
    cast = "* REPLACE (CAST(ts AS TIMESTAMP WITH TIME ZONE) AS ts)"
    sql(folder, view.format(columns=cast, file=tmp_path / "events.parquet"))
    compute(folder)
    found = sql(
        folder, "SELECT name, valid_from, amount FROM features.payments ORDER BY name, valid_from"
    )
    assert found == [("ann", day(2, 2), 1), ("bob", day(2, 2), 2)]
