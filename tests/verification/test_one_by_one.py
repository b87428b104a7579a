"""`plane verify` where an interval has a statement of its own, and on other warehouses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane import Aggregate, Attribute, BatchSource
from controlplane.verify import Side, ViewReport, compare
from controlplane.verify import verify as verify_views
from controlplane.verify.ways import SAMPLED
from controlplane.workspace.connectors import open_calculator
from tests.engine.engines import run
from tests.engine.parity import opened
from tests.engine.rig import Rig, naive
from tests.engine.test_source_times import BOUNDED, loaded_source
from tests.engine.test_source_times import LOADED as LOADED_COLUMNS
from tests.engine.views import COLUMNS, EVENTS, EVER, HOUR, START, rows_of, view_of


def looked_at(rig: Rig, cases: int = 24) -> ViewReport:
    """Verify a rig's view."""
    report = verify_views(
        rig.manifest,
        rig.warehouse,
        lambda: None,
        open_calculator,
        now=lambda: datetime(2024, 1, 10, tzinfo=UTC),
        cases=cases,
        seed=7,
    )
    return report.views[0]


WINDOW = "SELECT k, ts, CAST(sum(amt) OVER (PARTITION BY k ORDER BY ts, amt, o) AS BIGINT) AS amt FROM {events}"
JOIN = "SELECT e.k, e.ts, l.amt FROM {events} e JOIN {ever} l ON e.o = l.o AND e.ts > l.ts"
FEATURES = (
    Aggregate("sum", "amt", windows=["3h"]),
    Aggregate("count", windows=["10d", "lifetime"]),
    Attribute("amt", "int64"),
)


@pytest.mark.parametrize(
    ("engine", "sql", "sources"),
    [("duckdb", JOIN, (EVENTS, EVER)), ("snowflake", WINDOW, (EVENTS,))],
)
def test_intervals_in_statements_of_their_own(
    engine: str, sql: str, sources: Sequence[BatchSource]
) -> None:
    """Only the newest intervals are evaluated: what needs more rows is left out, and a note says
    so."""
    view = view_of(sql, *sources, features=FEATURES)
    if engine == "duckdb":
        with Rig(view, COLUMNS, rows=busy()) as rig:
            compare_apart(rig)
        return
    with opened(engine) as (warehouse, _):
        compare_apart(Rig(view, COLUMNS, rows=busy(), warehouse=warehouse))


def busy() -> list[dict[str, Any]]:
    """Events of sixty hours."""
    return rows_of(60) + [
        row | {"ts": naive(START + (n * 41 % 59) * HOUR + n)} for n, row in enumerate(rows_of(120))
    ]


def compare_apart(rig: Rig) -> None:
    rig.materialize(START, START + 60 * HOUR)
    report = looked_at(rig)
    assert report.mismatch_count == 0, report.mismatches
    assert (
        min(report.compared[place] for place in ("table", "history", "latest", "training set")) > 0
    )
    assert report.nulls < sum(report.compared.values())
    notes = "\n".join(report.notes)
    assert "the newest 48 intervals" in notes
    assert "from 2024-01-01T12:00:00Z" in notes
    assert "count_10d, count_lifetime: not compared" in notes
    history = f"features.{rig.d.quote(f'subject__history__{rig.view.fingerprint}')}"
    run(
        rig.warehouse,
        f"UPDATE {history} SET {rig.d.quote('amt_sum_3h')} = {rig.d.quote('amt_sum_3h')} + 1",
    )
    assert {mismatch.feature for mismatch in looked_at(rig).mismatches} == {"amt_sum_3h"}


def test_few_intervals_are_compared_as_a_whole() -> None:
    """As long as all intervals are evaluated, lifetimes are compared too."""
    with Rig(view_of(JOIN, EVENTS, EVER, features=FEATURES[1:]), COLUMNS, rows=rows_of(60)) as rig:
        rig.materialize(START, START + 8 * HOUR)
        report = looked_at(rig)
        assert report.mismatch_count == 0, report.mismatches


def test_row_by_row_views_verify_on_snowflake() -> None:
    """Case A1 with `loaded_at`, on another warehouse: some intervals are evaluated in both ways."""
    with opened("snowflake") as (warehouse, _):
        rows = [
            {
                "k": "a",
                "happened_at": naive(START + at),
                "loaded_at": naive(START + at + late),
                "amt": at // HOUR,
            }
            for at in range(HOUR // 2, 6 * HOUR, HOUR)
            for late in (-HOUR, HOUR, 7 * HOUR)
        ]
        view = view_of("SELECT * FROM {events}", loaded_source(), **BOUNDED)
        rig = Rig(view, LOADED_COLUMNS, rows=rows, warehouse=warehouse)
        rig.materialize(START, START + 12 * HOUR)
        report = looked_at(rig)
        assert report.mismatch_count == 0, report.mismatches
        assert report.intervals == SAMPLED
        assert report.nulls < sum(report.compared.values())
        run(warehouse, "DELETE FROM raw.events")
        assert looked_at(rig).mismatch_count > 0


def test_environments_are_compared_where_intervals_are_evaluated_one_by_one() -> None:
    """How far floats may be off is known there too."""
    sql = JOIN.replace("l.amt", "CAST(l.amt AS DOUBLE) / 3 AS amt")
    view = view_of(sql, EVENTS, EVER, features=FEATURES[:1])
    with (
        Rig(view, COLUMNS, rows=rows_of(60)) as first,
        Rig(view, COLUMNS, rows=rows_of(60)) as second,
    ):
        left, right = (
            Side(name, rig.manifest, rig.warehouse)
            for name, rig in (("one", first), ("other", second))
        )
        for rig in (first, second):
            rig.materialize(START, START + 8 * HOUR)
        table = f"features.subject__history__{second.view.fingerprint}"
        for factor, equal in ((1 + 1e-12, True), (1 + 1e-6, False)):
            second.run(f"UPDATE {table} SET amt_sum_3h = amt_sum_3h * {factor!r}")
            assert compare(left, right).equal is equal
