"""Expectations on a real warehouse: what fails blocks, what warns is told, and all of it is
recorded."""

from __future__ import annotations

from collections.abc import Sequence
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
    expect,
)
from controlplane.definitions.expect import Expectation
from controlplane.errors import CheckFailed
from controlplane.plan.diff import diff
from tests.engine.rig import Rig, micros

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = micros("2024-01-01")
COLUMNS = {
    "k": "VARCHAR",
    "ts": "TIMESTAMPTZ",
    "amt": "BIGINT",
    "f": "FLOAT",
    "d": "DECIMAL(10,2)",
    "word": "VARCHAR",
    "y": "DATE",
    "b": "BOOLEAN",
}


def view_of(
    *expectations: Expectation,
    source: Sequence[Expectation] = (),
    schedule: str = "1d",
    **more: Any,
) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts", expectations=source)

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=[Aggregate("sum", "amt", windows=["1d"]), Attribute("word", "string")],
        schedule=schedule,
        start="2024-01-01",
        expectations=expectations,
        owner="team",
        **more,
    )
    def subject(events):
        return f"SELECT *, word || '!' AS loud FROM {events}"

    return subject


def row(ts: str, k: str | None = "a", **values: Any) -> dict[str, Any]:
    return {"k": k, "ts": datetime.fromisoformat(f"2024-{ts}+00:00"), **values}


def recorded(rig: Rig) -> dict[str, tuple[Any, ...]]:
    """What was recorded, by name: severity, rows, failures, whether it passed, what was seen."""
    found = rig.run(
        "SELECT source, name, severity, row_count, failed_count, passed, observed FROM"
        " _plane.metrics"
    )
    return {f"{source or 'view'}: {name}": tuple(rest) for source, name, *rest in found}


ROWS = [
    row("01-01 01:00", amt=1, f=0.5, d="1.00", word="x", y="2024-01-01", b=True),
    row("01-01 02:00", amt=5, f=float("nan"), d="2.50", word="y", y="2024-01-02", b=False),
    row("01-01 02:00", amt=5, f=-1.5, d="9.99", word="it's {{", y="2023-01-01"),
    row("01-01 03:00", amt=None, k=None),
]
EACH: list[tuple[Expectation, tuple[int, int, str | None]]] = [
    (expect.rows(at_least=4, at_most=4), (1, 0, "4 to 4")),
    (expect.rows(at_most=3), (1, 1, "4 to 4")),
    (expect.not_null("amt"), (4, 1, None)),
    (expect.not_null("k"), (4, 1, None)),
    (expect.between("amt", 1, 5), (4, 0, None)),
    (expect.between("amt", 2, 4), (4, 3, "1")),
    (expect.between("amt", low=2), (4, 1, "1")),
    (expect.between("f", -2, 2), (4, 1, "nan")),
    (expect.between("f", high=-1.5), (4, 2, "0.5")),
    (expect.between("d", 1, 9.98), (4, 1, "9.99")),
    (expect.between("y", "2024-01-01", "2024-01-01"), (4, 2, "2023-01-01")),
    (expect.between("ts", "2024-01-01T01:00:00.000001Z"), (4, 1, "2024-01-01 01:00:00")),
    (expect.between("word", "x", "y", name="text"), (4, 1, "it's {{")),
    (expect.one_of("word", ["x", "it's {{"]), (4, 1, "y")),
    (expect.one_of("amt", [1]), (4, 2, "5")),
    (expect.one_of("b", [True]), (4, 1, "false")),
    (expect.unique("k", "amt"), (3, 1, "a, 5")),
    (expect.unique("k", "amt", "word"), (3, 0, None)),
    (expect.unique("ts"), (4, 1, "2024-01-01 02:00:00")),
    (expect.that("amt + 1 > 2 -- enough"), (4, 1, None)),
    (expect.that("loud <> 'it''s {{!'", name="{{ odd }}'s"), (4, 1, None)),
]


@pytest.mark.parametrize("on_source", [False, True])
def test_each_of_them_counts_what_fails(on_source: bool) -> None:
    wanted = [(one, counts) for one, counts in EACH if not (on_source and "loud" in str(one))]
    told = [one for one, _ in wanted]
    view = view_of(source=told) if on_source else view_of(*told)
    with Rig(view, COLUMNS, rows=ROWS) as rig:
        with pytest.raises(CheckFailed) as raised:
            rig.materialize(START, START + DAY)
        found = recorded(rig)
        specs = rig.view.expectations or rig.manifest.sources[0].expectations
        for spec, (one, (rows, failed, seen)) in zip(specs, wanted, strict=True):
            key = f"{'events' if on_source else 'view'}: {spec.name}"
            assert found[key] == ("error", rows, failed, failed == 0, seen), one
            assert (f"{spec.name}: {failed:,} of {rows:,} fail" in raised.value.message) == (
                failed > 0
            )
        assert rig.head().version == 0
        assert rig.table("tiles") == []
        assert rig.run(
            "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
        ) == [(0,)]


def test_what_is_met_publishes_and_a_warning_only_tells() -> None:
    view = view_of(
        expect.between("amt", high=4, may_fail=0.5),
        expect.between("amt", high=4, may_fail=0.4, severity="warning", name="few are large"),
        source=[expect.not_null("word", severity="warning")],
    )
    with Rig(view, COLUMNS, rows=[*ROWS[:3], row("01-01 04:00", amt=1)]) as rig:
        for _ in range(2):
            done = rig.materialize(START, START + DAY)
            assert done.warnings == [
                "source events, not_null(word): 1 of 4 fail",
                "few are large: 2 of 4 fail (5)",
            ]
            assert recorded(rig) == {
                "events: not_null(word)": ("warning", 4, 1, False, None),
                "view: amt <= 4": ("error", 4, 2, True, "5"),
                "view: few are large": ("warning", 4, 2, False, "5"),
            }
        assert [one["amt_sum_1d"] for one in rig.table()] == [12]
        rig.replace(ROWS[:1])
        assert rig.materialize(START, START + 2 * DAY).warnings == []
        names = "SELECT DISTINCT feature_view, fingerprint FROM _plane.metrics"
        assert rig.run(names) == [("features.subject", rig.view.fingerprint)]
        assert rig.run(
            "SELECT count(*), count(DISTINCT run_id) FROM _plane.metrics WHERE passed"
        ) == [(4, 2)]


def test_rows_are_counted_in_each_interval_however_long_the_run() -> None:
    rows = [row("01-01 00:00"), row("01-01 00:59"), row("01-01 02:00"), row("01-01 04:00")]
    told = (expect.rows(at_least=1, severity="warning"), expect.rows(at_most=1, severity="warning"))
    view = view_of(*told, schedule="1h", lateness="2h")
    with Rig(view, COLUMNS, rows=rows) as rig:
        assert rig.materialize(START, START + 4 * HOUR).warnings == [
            "rows(at_least=1): 2 of 4 fail (0 to 2)",
            "rows(at_most=1): 1 of 4 fail (0 to 2)",
        ]
        late = rig.materialize(START + 4 * HOUR, START + 5 * HOUR)  # and the two hours before
        assert late.warnings == ["rows(at_least=1): 1 of 3 fail (0 to 1)"]
        assert rig.materialize(START + 10 * HOUR, START + 11 * HOUR).warnings == [
            "rows(at_least=1): 3 of 3 fail (0 to 0)"
        ]


def test_a_table_without_an_event_time_is_counted_as_a_whole() -> None:
    events = BatchSource("events", table="raw.events", expectations=[expect.rows(at_least=2)])

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=[Attribute("amt", "int64")],
        schedule="1d",
        start="2024-01-01",
        expectations=[expect.unique("k"), expect.rows(at_most=2)],
        owner="team",
    )
    def subject(events):
        return f"SELECT k, amt FROM {events}"

    with Rig(subject, COLUMNS, rows=[row("01-01", amt=1)]) as rig:
        with pytest.raises(CheckFailed) as raised:
            rig.materialize(START, START + 3 * DAY)
        assert (
            raised.value.message
            == "feature view 'subject': an expectation is not met, so nothing was published: "
            "source events, rows(at_least=2): 1 of 1 fail (1)"
        )
        assert raised.value.where is not None
        assert __file__.endswith(raised.value.where.file)
        rig.add([row("01-01", k="b", amt=2)])
        rig.materialize(START, START + 3 * DAY)
        assert len(rig.table()) == 2


def test_they_change_no_value_and_the_plan_says_what_they_change() -> None:
    plain, strict = (
        view_of(),
        view_of(expect.rows(at_least=1), source=[expect.one_of("k", ["a", "b"], may_fail=0.01)]),
    )
    with Rig(plain, COLUMNS) as before, Rig(strict, COLUMNS) as after:
        assert before.view.fingerprint == after.view.fingerprint
        assert (
            before.run(
                "SELECT table_name FROM information_schema.tables WHERE table_name = 'metrics'"
            )
            == []
        )
        [action] = diff(before.manifest, after.manifest, "1", "2")
        changes = [(change.name, change.before, change.after) for change in action.changes]  # type: ignore[union-attr]
        assert changes == [
            ("expectation rows(at_least=1)", "", "error, at_least 1"),
            ("source events expectation one_of(k)", "", "error, 1% may fail, values a, b"),
        ]
