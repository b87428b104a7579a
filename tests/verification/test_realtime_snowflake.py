"""Readers against Snowflake, through its own driver: the same functions, the same values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.duckdb import connect as embedded
from connectors.snowflake import connect
from controlplane import Calculation, RealtimeFeature, RequestSource, calculation, realtime_feature
from controlplane.errors import PermanentError
from controlplane.ports import Statement, Warehouse
from controlplane.project import open_calculator
from controlplane.registry.calculations import compile_calculations
from controlplane.registry.manifest import CalculationSpec, Place
from controlplane.registry.problems import Collector
from controlplane.render.dialects import dialect
from controlplane.render.functions import called, create
from controlplane.verification import compare_service
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.engine import cases
from tests.engine.rig import Rig, micros
from tests.serving.test_realtime import later, risk, taxed
from tests.serving.test_requests import subject

GIVEN = RequestSource(
    "given",
    fields={"amount": "float64", **{f"r_{name}": kind for name, kind in cases.TYPES.items()}},
    nullable=[f"r_{name}" for name in cases.TYPES],
)
START = micros("2024-01-01")


@realtime_feature("string")
def seen(r_i, r_s, r_x, r_b, r_y, risk):
    return "|".join(f"{type(one).__name__} {one!r}" for one in (r_i, r_s, r_x, r_b, r_y, risk))


@realtime_feature("int64")
def sized(r_x, seen):
    return len(r_x or b"") + len(seen)


@realtime_feature("bool")
def both(r_b, subject__f):
    return None if r_b is None else r_b and subject__f is not None


@realtime_feature("date")
def following(r_y):
    from datetime import timedelta

    return r_y and r_y + timedelta(days=1)


@realtime_feature("binary")
def doubled(r_x):
    return r_x and r_x * 2


CALCULATED: list[Calculation | RealtimeFeature] = [
    risk,
    calculation("twice", "float64", "risk * 2"),
    taxed,
    later,
    seen,
    sized,
    both,
    following,
    doubled,
]


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with SnowflakeEndpoint() as endpoint:
        warehouse = connect(**endpoint.options())
        yield warehouse
        warehouse.close()


def test_snowflake_is_serving(warehouse: Warehouse) -> None:
    row = {"k": "a", "ts": START, "f": 2.0, "d": "1.50"}
    with Rig(subject, cases.COLUMNS, warehouse=warehouse, calculations=CALCULATED, request=GIVEN) as rig:
        rig.add(cases.loaded([{**dict.fromkeys(cases.COLUMNS), **row}]))
        report = compare_service(rig.manifest, rig.manifest.services[0], warehouse, open_calculator, cases=100, seed=5)
        assert report.mismatches == []
        assert (report.cases, report.compared, report.refused) == (100, 900, 0)
        rig.materialize(START, START + 3_600_000_000)
        given = {**{f"r_{name}": None for name in cases.TYPES}, "amount": 3.0}
        for from_source in (False, True):
            [found] = rig.training_set([(["a"], START + 3_600_000_000)], request=[given], from_source=from_source)
            assert (found["risk"], found["twice"], found["taxed"]) == (1.5, 3.0, None)


def test_what_a_function_does_wrong_is_told(warehouse: Warehouse) -> None:
    d = dialect("snowflake")
    warehouse.execute([Statement("make it", "CREATE SCHEMA IF NOT EXISTS features")])
    spec = CalculationSpec("one", "float64", "", ("x",), "", Place("f.py", 1), python="def one(x):\n    return 1 / x")
    warehouse.execute([create(d, "features", spec, {"x": "float64"})])
    query = f"SELECT {called(d, 'features', spec)} AS y FROM (SELECT CAST(41.5 - 41.5 AS FLOAT) AS x) AS one"
    with pytest.raises(PermanentError, match=r"^(.*: )?realtime feature 'one': its function raised ZeroDivisionError$"):
        list(warehouse.fetch(query))


@realtime_feature("array<string>")
def listed(r_s):
    return [r_s]


@realtime_feature("int64")
def counted(tags):
    return len(tags)


def test_lists_are_refused() -> None:
    collector, given = Collector(Path("/")), {"r_s": "string", "tags": "array<string>"}
    compile_calculations([listed, counted], "service", given, embedded(path=":memory:"), "snowflake", collector)
    assert [error.message.partition(": on snowflake ")[2] for error in collector.found] == [
        "a Python function can't take or give lists",
        "a Python function can't take or give lists: tags",
    ]
