"""Snowflake and Databricks give the rows that the embedded warehouse gives; `make parity` looks at more cases."""

from __future__ import annotations

import pytest

from controlplane.ports import Statement
from tests.engine import examples
from tests.engine.differential import SEEDS
from tests.engine.meddled import Meddled
from tests.engine.parity import opened, play, two_at_once

SEED = 4


def test_random_cases_on_snowflake():
    with opened("snowflake") as (warehouse, _):
        found = [play(SEED * SEEDS + number, warehouse) for number in range(5)]
    assert [difference for one in found for difference in one.differing] == []
    assert sum(one.rows for one in found) > 500


@pytest.mark.parametrize("name", ["02-windows", "03-training-sets", "04-feature-tests"])
def test_an_example_on_snowflake(name, tmp_path):
    with opened("snowflake") as (warehouse, options), examples.raw_tables(tmp_path) as raw:
        found = examples.compare(name, warehouse, options, raw, tmp_path)
    assert found.equal, found
    assert all(table.compared for view in found.views for table in view.tables)


def test_a_mistake_is_noticed():
    def without_the_newest(statement: Statement) -> list[Statement]:
        return [statement._replace(sql=statement.sql.replace("moment <= head.frontier", "moment < head.frontier"))]

    with opened("snowflake") as (warehouse, _):
        found = [play(SEED * SEEDS + number, Meddled(warehouse, without_the_newest)) for number in range(2)]
    assert sum(len(one.differing) for one in found) > 10


def test_two_first_runs_at_the_same_moment_leave_one_copy():
    with opened("snowflake") as (warehouse, options):
        assert two_at_once(warehouse, options)
