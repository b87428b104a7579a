"""What an interval sees: every kind of SQL gives the rows of brute force, however it is
evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane.base.ports import Warehouse
from controlplane.manifest.specs import IntervalByInterval
from tests.engine import cases, engines, staged
from tests.engine.differential import TOGETHER, Lab, check_refused, evaluation, rig_of
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import compiled
from tests.engine.shapes import MINUTE, PLAIN, SHAPES, Form, Shape
from tests.engine.test_mutants_elsewhere import Speaking

HOUR = 60 * MINUTE
NAMED = {shape.name: shape for shape in SHAPES}
FORMS = [
    Form(shape, lookback, apart)
    for shape in SHAPES
    for lookback in ((0, HOUR, 90 * MINUTE, None) if "others" in shape.sources else (0,))
    for apart in ((False, True) if shape.by_interval else (False,))
]


@pytest.fixture(scope="module")
def embedded() -> Iterator[Warehouse]:
    warehouse = connect(path=":memory:")
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="module")
def snowflake() -> Iterator[Warehouse]:
    with opened("snowflake") as (warehouse, _):
        yield warehouse


@pytest.mark.parametrize(
    "form", FORMS, ids=lambda form: f"{form.shape.name}-{form.lookback}-{form.apart}"
)
def test_a_run_stages_the_rows_of_brute_force(form: Form, embedded: Warehouse) -> None:
    """Cases A1 and A2 and their kind: each interval as if it were the only one, in one statement
    and in one each."""
    case = staged.case_of(form)
    expected = staged.by_brute_force(case)
    assert len(expected) > 5
    assert staged.staged(case, embedded) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_snowflake_stages_the_rows_of_brute_force(shape: Shape, snowflake: Warehouse) -> None:
    case = staged.case_of(Form(shape, HOUR if "others" in shape.sources else 0), 2)
    assert staged.staged(case, snowflake) == staged.by_brute_force(case)


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "databricks"])
def test_only_what_is_row_by_row_is_taken_for_it(dialect: str, embedded: Warehouse) -> None:
    try:
        engines.run(embedded, "CREATE SCHEMA raw")
        engines.make(embedded, "raw.events", cases.COLUMNS)
        for shape in SHAPES:
            [view] = compiled(
                [staged.case_of(Form(shape)).definition], Speaking(embedded, dialect)
            ).views
            assert isinstance(view.evaluation, IntervalByInterval) is shape.by_interval, shape.sql
    finally:
        empty(embedded)


def test_a_view_that_is_wrongly_taken_for_row_by_row_is_noticed(embedded: Warehouse) -> None:
    wrong = replace(NAMED["rank"], by_interval=False)
    try:
        with pytest.raises(AssertionError, match="a view is computed together: SELECT"):
            rig_of(staged.case_of(Form(wrong)), embedded)
    finally:
        empty(embedded)


def test_training_from_source_that_should_be_refused_is_noticed(embedded: Warehouse) -> None:
    try:
        rig = rig_of(staged.case_of(Form(NAMED["rank"])), embedded)
        assert evaluation(rig) == TOGETHER
        with pytest.raises(AssertionError, match="is not refused"):
            check_refused(rig, [(("a",), staged.START)])
        rig.take_apart()
        check_refused(rig, [(("a",), staged.START)])
    finally:
        empty(embedded)


def row_at(minutes: int, **values: Any) -> dict[str, Any]:
    """A row so many minutes after the view's start."""
    nothing = dict.fromkeys(cases.COLUMNS)
    return {
        **nothing,
        "k": "a",
        "tie": 1,
        "b": True,
        "ts": staged.START + minutes * MINUTE,
        **values,
    }


@pytest.mark.parametrize(
    ("lookback", "expected"),
    [
        (0, {20: [None], 40: [5], 50: [5, 6], 70: [None], 119: [8], 130: [None]}),
        (20 * MINUTE - 1, {20: [None], 40: [5], 50: [5, 6], 70: [None], 119: [8], 130: [None]}),
        # An interval looks back from its start: that of 70 and 119 sees the row of 40, not that of
        # 20.
        (20 * MINUTE, {20: [None], 40: [5], 50: [5, 6], 70: [6], 119: [6, 8], 130: [None]}),
        (None, {20: [None], 40: [5], 50: [5, 6], 70: [5, 6], 119: [5, 6, 8], 130: [5, 6, 8]}),
    ],
)
def test_brute_force_by_hand(lookback: int | None, expected: dict[int, list[int | None]]) -> None:
    """Case A2: what is joined to a row depends on its interval and the lookback, never on the
    run."""
    rows = [row_at(20, i=5), row_at(40, i=6), row_at(50, i=7, b=None), row_at(70, i=8)]
    rows += [row_at(119, i=9, b=False), row_at(130, i=10)]
    form = Form(NAMED["join"], lookback)
    found: dict[int, list[int | None]] = {}
    for row in form.returned(rows, staged.case_of(form).view):
        found.setdefault((row["ts"] - staged.START) // MINUTE, []).append(row["i"])
    assert found == expected


def test_brute_force_of_bounds_by_hand() -> None:
    rows = [
        row_at(60, tie=1),
        row_at(60, tie=2),
        row_at(60, tie=3),
        row_at(60, tie=None),
        row_at(60, ts=None),
    ]
    form = Form(NAMED["bounds"])
    found = [
        row["happened"] - staged.START for row in form.returned(rows, staged.case_of(form).view)
    ]
    assert found == [30 * MINUTE, 70 * MINUTE]


def test_about_half_of_the_cases_are_plain_and_every_other_kind_is_drawn() -> None:
    drawn = [cases.case_of(number, 0.0, [1]).form for number in range(300)]
    assert 0.4 < sum(form.shape is PLAIN for form in drawn) / len(drawn) < 0.65
    assert {form.shape.name for form in drawn} == set(NAMED)
    assert {form.reach for form in drawn} == {"", "none", "some", "unbounded"}
    assert {form.apart for form in drawn} == {True, False}
    assert all(cases.case_of(number, 0.0, [1], shaped=False).form == Form() for number in range(20))


def test_a_mismatch_of_one_interval_is_found_in_a_random_case() -> None:
    """The number of a case is enough to play it again, whatever its SQL."""
    number = next(
        n for n in range(300) if cases.case_of(n, 0.0, [1]).form.shape is NAMED["window function"]
    )
    lab = Lab()
    one, other = lab.play(number), lab.play(number)
    lab.close()
    assert one == other
    assert not one.wrong
    assert {shape for shape, *_ in one.shapes} == {"window function"}
