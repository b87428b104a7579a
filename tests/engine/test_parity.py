"""Snowflake and Databricks give the rows that the embedded warehouse gives.

`make parity` looks at more cases.
"""

from __future__ import annotations

import pytest

from tests.engine import examples
from tests.engine.differential import SEEDS
from tests.engine.mutants import MUTANTS
from tests.engine.mutants_elsewhere import hunt
from tests.engine.parity import opened, play, two_at_once

SEED = 4


def test_random_cases_on_snowflake():
    with opened("snowflake") as (warehouse, _):
        found = [play(SEED * SEEDS + number, warehouse) for number in range(5)]
    assert [difference for one in found for difference in one.differing] == []
    assert sum(one.rows for one in found) > 500


@pytest.mark.parametrize(
    "name", ["02-windows", "03-training-sets", "04-feature-tests", "07-patterns"]
)
def test_an_example_on_snowflake(name, tmp_path):
    with opened("snowflake") as (warehouse, options), examples.raw_tables(tmp_path) as raw:
        found = examples.compare(name, warehouse, options, raw, tmp_path)
    assert found.equal, found
    assert all(table.compared for view in found.views for table in view.tables)


def test_a_mistake_is_noticed():
    [mutant] = [mutant for mutant in MUTANTS if mutant.name == "a series runs backwards"]
    with opened("snowflake") as (warehouse, _):
        caught = hunt(mutant, 3, SEED, warehouse)
    assert caught is not None
    assert caught.changes > 0


def test_two_first_runs_at_the_same_moment_leave_one_copy():
    with opened("snowflake") as (warehouse, options):
        assert two_at_once(warehouse, options)
