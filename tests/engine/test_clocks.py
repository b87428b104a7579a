"""A local clock and a number of seconds are the same instants in every warehouse."""

from __future__ import annotations

import pytest

from connectors.duckdb import connect
from tests.engine import examples
from tests.engine.clocks import EXPRESSIONS, compare
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import micros, records

PAGE = (examples.REPOSITORY / "docs" / "patterns.md").read_text(encoding="utf-8")


def test_clocks_on_duckdb() -> None:
    compare(connect(path=":memory:"))


def test_clocks_on_snowflake() -> None:
    with opened("snowflake") as (warehouse, _):
        compare(warehouse)


def test_clocks_on_databricks(databricks) -> None:
    """An hour that comes twice is the earlier one here, and the later one on DuckDB."""
    with opened("databricks", databricks) as (warehouse, _):
        try:
            compare(warehouse)
            local, _ = EXPRESSIONS["Databricks"]
            instant = local.replace("local_ts", "TIMESTAMP_NTZ '2013-11-03 01:15:00'")
            found = records(warehouse, f"SELECT {instant} AS instant")
            assert found == [{"instant": micros("2013-11-03T05:15")}]
        finally:
            empty(warehouse)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_page_has_these_expressions(name: str) -> None:
    local, seconds = EXPRESSIONS[name]
    assert f"| {name} | `{local}` | `{seconds}` |" in PAGE
