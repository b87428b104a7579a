"""Readers against Snowflake, through its own driver: the same functions, the same values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.duckdb.warehouse import connect as embedded
from connectors.snowflake.signin import connect
from controlplane import realtime_feature
from controlplane.base.ports import Statement, Warehouse
from controlplane.compile.calculations import compile_calculations
from controlplane.compile.problems import Collector
from controlplane.errors import Location, PermanentError
from controlplane.manifest.specs import CalculationSpec
from controlplane.sql.dialects import dialect
from controlplane.sql.functions import called, create
from tests.endpoints.snowflake import SnowflakeEndpoint


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with SnowflakeEndpoint() as endpoint:
        warehouse = connect(**endpoint.options())
        yield warehouse
        warehouse.close()


def test_what_a_function_does_wrong_is_told(warehouse: Warehouse) -> None:
    d = dialect("snowflake")
    warehouse.execute([Statement("make it", "CREATE SCHEMA IF NOT EXISTS features")])
    spec = CalculationSpec(
        "one",
        "float64",
        "",
        ("x",),
        "",
        Location("f.py", 1),
        python="def one(x):\n    return 1 / x",
    )
    warehouse.execute([create(d, "features", spec, {"x": "float64"})])
    call = called(d, "features", spec, {"x": "float64"})
    query = f"SELECT {call} AS y FROM (SELECT CAST(41.5 - 41.5 AS FLOAT) AS x) AS one"
    with pytest.raises(
        PermanentError,
        match=r"^(.*: )?realtime feature 'one': its function raised ZeroDivisionError$",
    ):
        list(warehouse.fetch(query))


@realtime_feature("array<string>")
def listed(r_s):
    return [r_s]


@realtime_feature("int64")
def counted(tags):
    return len(tags)


def test_lists_are_refused() -> None:
    collector, request_types = Collector(Path("/")), {"r_s": "string", "tags": "array<string>"}
    compile_calculations(
        [listed, counted],
        "service",
        request_types,
        embedded(path=":memory:"),
        "snowflake",
        collector,
    )
    assert [error.message.partition(": on snowflake ")[2] for error in collector.problems] == [
        "a Python function can't take or return lists",
        "a Python function can't take or return lists: tags",
    ]
