"""Functions at the edges of their promises: large offsets, sketches beyond what they keep, lists
over tiles."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane import Aggregate, BatchFeatureView, BatchSource, Entity, batch_feature_view
from controlplane.manifest.functions import FUNCTIONS
from controlplane.sql import aggregates, states
from controlplane.verify import oracle
from tests.engine import cases
from tests.engine.rig import Rig, micros

ROOT = Path(__file__).resolve().parents[2]

HOUR, DAY = 3_600_000_000, 86_400_000_000
START = datetime(2024, 1, 1)  # noqa: DTZ001 - as the warehouse has it
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "x": "DOUBLE", "i": "BIGINT", "s": "VARCHAR"}


def hourly(*features: Aggregate, lateness: str = "0s") -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=features,
        schedule="1h",
        start="2024-01-01",
        lateness=lateness,
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def event(
    minute: float, x: float | None = None, i: int | None = None, s: str | None = None
) -> dict[str, Any]:
    return {"k": "a", "ts": START + timedelta(minutes=minute), "x": x, "i": i, "s": s}


def last_row(rows: Sequence[Mapping[str, Any]], *features: Aggregate) -> Mapping[str, Any]:
    """The values after the first day."""
    with Rig(hourly(*features), COLUMNS, rows=rows) as rig:
        rig.materialize(micros("2024-01-01"), micros("2024-01-02"))
        [row] = rig.table("latest")
        return row


@pytest.mark.parametrize("table", [aggregates._MEANINGS, oracle._FUNCTIONS, cases.FUNCTIONS])
def test_every_table_has_all_functions(table: Mapping[str, object]) -> None:
    assert set(table) == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_states_and_is_documented(function: str) -> None:
    assert states._needed(function, 1, "int64")
    page = (ROOT / "docs" / "definitions.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| .*`{function}`.* \|.*\|.*\|.*\|$", page, re.MULTILINE)
    assert re.search(rf"\b{function}\b", (Aggregate.__doc__ or "").partition("Args:")[2])


@pytest.mark.parametrize("spread", [1, 60])
def test_variance_is_stable_far_from_zero(spread: int) -> None:
    rows = [event(23 * 60 - spread * n, x=1.7e9 + n, i=1_700_000_000 + n) for n in range(10)]
    found = last_row(
        rows,
        *(
            Aggregate(f, c, windows=["24h"])
            for f in ("var_pop", "var_samp", "stddev_samp")
            for c in ("x", "i")
        ),
    )
    for column in ("x", "i"):
        assert math.isclose(found[f"{column}_var_pop_24h"], 8.25, rel_tol=1e-9)
        assert math.isclose(found[f"{column}_var_samp_24h"], 82.5 / 9, rel_tol=1e-9)
        assert math.isclose(found[f"{column}_stddev_samp_24h"], math.sqrt(82.5 / 9), rel_tol=1e-9)


def test_equal_values_have_no_variance_at_all() -> None:
    """The sum of three tenths is not three tenths: a mean that was rounded would leave 7e-18."""
    rows = [event(minute, x=0.1) for minute in (1, 2, 3, 61, 200, 201, 202, 203, 204, 205)]
    windows = [Aggregate(f, "x", windows=["24h"]) for f in ("var_pop", "stddev_samp")]
    found = last_row([row | {"ts": row["ts"] + timedelta(hours=12)} for row in rows], *windows)
    assert (found["x_var_pop_24h"], found["x_stddev_samp_24h"]) == (0, 0)


@pytest.mark.parametrize("different", [511, 512, 5_000, 20_000])
def test_many_distinct_values_are_counted_within_the_promise(different: int) -> None:
    rows = [event(n % 1380, i=n % different, s=f"v{n % different}") for n in range(2 * different)]
    found = last_row(
        rows,
        Aggregate("approx_count_distinct", "s", windows=["24h"]),
        Aggregate("approx_count_distinct", "i", windows=["24h"]),
        Aggregate("count_distinct", "s", windows=["24h"]),
    )
    assert found["s_count_distinct_24h"] == different
    for column in ("s", "i"):
        told = found[f"{column}_approx_count_distinct_24h"]
        if different < 512:
            assert told == different
        else:
            assert abs(told - different) <= 4 * different / math.sqrt(510)  # four standard errors


def test_percentiles_of_many_values() -> None:
    values = [math.exp((n * 7919 % 5000) / 400) * (-1 if n % 4 == 0 else 1) for n in range(5000)]
    # Few moments, each with many rows.
    rows = [event(n % 138, x=value) for n, value in enumerate(values)]
    quantiles = [0.01, 0.1, 0.5, 0.75, 0.99]
    found = last_row(
        rows,
        *(
            Aggregate(f, "x", windows=["24h"], q=q)
            for f in ("percentile", "approx_percentile")
            for q in quantiles
        ),
    )
    ordered = sorted(values)
    for q in quantiles:
        exact = ordered[math.floor(q * 4999)]
        assert abs(found[f"x_approx_p{round(q * 100)}_24h"] - exact) <= 0.0100001 * abs(exact)
    assert math.isclose(found["x_p50_24h"], statistics.median(values), rel_tol=1e-12)


def test_lists_go_over_tiles_in_order_of_time() -> None:
    words = ["a", "b", "a", "c", "c", "d", "b", "e", "a", "e"]
    rows = [event(70 * n, s=word) for n, word in enumerate(words)]
    found = last_row(
        rows,
        Aggregate("first_n", "s", windows=["24h"], n=3),
        Aggregate("last_n", "s", windows=["24h"], n=3),
        Aggregate("first_distinct_n", "s", windows=["24h"], n=3),
        Aggregate("last_distinct_n", "s", windows=["24h"], n=3),
    )
    assert found["s_first_3_24h"] == ["a", "b", "a"]
    assert found["s_last_3_24h"] == ["e", "a", "e"]
    assert found["s_first_distinct_3_24h"] == ["a", "b", "c"]
    assert found["s_last_distinct_3_24h"] == ["b", "a", "e"]


def test_each_run_computes_its_lateness_again() -> None:
    """A row that came after its hour was computed is seen by the next run, and by no run without
    lateness."""
    for lateness, told in (("0s", 1), ("2h", 2)):
        view = hourly(Aggregate("count", windows=["24h"]), lateness=lateness)
        with Rig(view, COLUMNS, rows=[event(10)]) as rig:
            first = micros("2024-01-01")
            for hour in range(3):
                rig.materialize(first + hour * HOUR, first + (hour + 1) * HOUR)
                if hour == 1:
                    rig.add([event(70)])
            [row] = rig.table("latest")
            assert row["count_24h"] == told
            assert rig.head().watermark.hour == 3
