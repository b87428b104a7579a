"""Readers against the warehouse: random rows find a difference, and agree where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from connectors.duckdb.calculator import DuckDBCalculator, prepare
from controlplane import FeatureService, RealtimeFeature, RequestSource, realtime_feature
from controlplane.base.ports import Function
from controlplane.errors import PlaneError
from controlplane.testing import expect_parity
from controlplane.verify import ServiceReport, compare_service
from tests.engine import cases
from tests.engine.rig import Rig, compiled
from tests.serving.test_realtime import CALCULATED
from tests.serving.test_requests import CALCULATIONS, EVERY_TYPE, subject

COLUMNS = {
    **{name: field_type for name, field_type in cases.TYPES.items() if name != "u"},
    "k": "string",
    "n": "int64",
    "ts": "timestamp",
    "tie": "int64",
    "u": "timestamp",
}


def service(*features: Any, request: RequestSource = EVERY_TYPE) -> FeatureService:
    return FeatureService("all", features=[subject, *features], request=request, owner="team")


def test_training_is_serving() -> None:
    for tested in (service(*CALCULATED), service(*CALCULATIONS)):
        expect_parity(tested, columns={"events": COLUMNS}, cases=200, seed=len(tested.features))


@realtime_feature("int64")
def strict(r_i, r_s):
    """It fails for some rows, in both places."""
    return r_i + len(r_s)


def compared(features: Sequence[RealtimeFeature], change: tuple[str, str]) -> ServiceReport:
    """What is found where the readers' functions are others than the warehouse's."""

    def changed(query: str, functions: Sequence[Function]) -> DuckDBCalculator:
        others = [
            msgspec.structs.replace(function, program=function.program.replace(*change))
            for function in functions
        ]
        return prepare(query=query, functions=others)

    with Rig(subject, cases.COLUMNS) as rig:
        manifest = compiled([subject], rig.warehouse, features, EVERY_TYPE)
        return compare_service(
            manifest, manifest.services[0], rig.warehouse, changed, cases=200, seed=3
        )


def test_rows_that_fail_fail_in_both() -> None:
    report = compared([strict], ("", ""))
    assert (report.mismatch_count, report.cases) == (0, 200)
    assert 20 < report.refused < 80
    assert report.compared == 200 - report.refused


@realtime_feature("float64")
def half(amount):
    return amount / 2


def test_a_difference_is_found() -> None:
    report = compared([half], ("amount / 2", "amount / 2 if amount < 50 else 0.0"))
    assert 30 < report.mismatch_count < report.compared == 200
    mismatch = report.mismatches[0]
    assert (mismatch.service, mismatch.feature, mismatch.online) == ("all", "half", 0.0)
    assert mismatch.training == mismatch.given["amount"] / 2 or math.isnan(mismatch.training)
    assert len(report.mismatches) == 20
    only = compared([half], ("return amount / 2", "return 1 / 0"))
    assert (only.refused, only.compared, only.mismatch_count) == (200, 0, 3)
    assert (only.mismatches[0].feature, only.mismatches[0].online) == ("*", "fails")
    lenient = compared(
        [strict],
        ("return r_i + len(r_s)", "return 0 if r_i is None or r_s is None else r_i + len(r_s)"),
    )
    assert lenient.refused == 0
    assert {(m.feature, m.online, m.training) for m in lenient.mismatches} == {
        ("*", "values", "fails")
    }


def test_what_can_t_be_compared_is_told() -> None:
    with pytest.raises(PlaneError, match="the columns of source 'events' are missing"):
        expect_parity(service(half), columns={})
    with pytest.raises(PlaneError, match="'all' has no calculations"):
        expect_parity(service(), columns={"events": COLUMNS})
