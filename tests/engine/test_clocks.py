"""A local clock and a number of seconds are the same instants in every warehouse."""

from __future__ import annotations

import pytest

from connectors.duckdb.warehouse import connect
from tests.engine import examples
from tests.engine.clocks import EXPRESSIONS, LOCAL, compare
from tests.engine.parity import opened
from tests.engine.rig import records

PAGE = (examples.REPOSITORY / "docs" / "patterns.md").read_text(encoding="utf-8")


def test_clocks_on_duckdb() -> None:
    compare(connect(path=":memory:"))


def test_clocks_on_snowflake() -> None:
    with opened("snowflake") as (warehouse, _):
        compare(warehouse)


def test_clocks_on_databricks(databricks) -> None:
    """Expressions alone, since a run takes Spark minutes; random cases run others there.

    An hour that comes twice is the earlier one here, and the later one on DuckDB.
    """
    local, seconds = EXPRESSIONS["Databricks"]
    rows = ", ".join(
        f"(TIMESTAMP_NTZ '{local_ts}:00', unix_seconds(TIMESTAMP '{instant}:00Z'))"
        for local_ts, instant in {**LOCAL, "2013-11-03 01:15": "2013-11-03 05:15"}.items()
    )
    table = f"(VALUES {rows}) AS clocks(local_ts, seconds)"
    with opened("databricks", databricks) as (warehouse, _):
        found = records(warehouse, f"SELECT {local} AS a, {seconds} AS b FROM {table}")
    assert len(found) == len(LOCAL) + 1
    assert [row for row in found if row["a"] != row["b"]] == []


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_page_has_these_expressions(name: str) -> None:
    local, seconds = EXPRESSIONS[name]
    assert f"| {name} | `{local}` | `{seconds}` |" in PAGE
