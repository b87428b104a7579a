"""Snowflake and Databricks give the rows that the embedded warehouse gives; `make parity` looks at more cases."""

from __future__ import annotations

import pytest

from tests.engine.differential import SEEDS
from tests.engine.parity import opened, play

SEED = 4


def test_random_cases_on_snowflake():
    with opened("snowflake") as warehouse:
        found = [play(SEED * SEEDS + number, warehouse) for number in range(12)]
    assert [difference for one in found for difference in one.differing] == []
    assert sum(one.rows for one in found) > 1000


@pytest.mark.parametrize("number", [0, 1])
def test_random_cases_on_databricks(databricks, number):
    with opened("databricks", databricks) as warehouse:
        found = play(SEED * SEEDS + number, warehouse, intervals=(2,))
    assert found.differing == []
    assert found.refused or found.rows
