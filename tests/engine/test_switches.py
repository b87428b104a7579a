"""Each capability of a dialect can be switched off alone: DuckDB without it computes the same
values.

What DuckDB has no other form for is left out: an as-of join, and what is no form of a query.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from connectors.duckdb.warehouse import connect
from controlplane.errors import CheckFailed, Problems
from controlplane.sql.dialects import DIALECTS
from controlplane.sql.dialects.duckdb import DuckDB
from tests.engine import cases
from tests.engine.differential import INTERVALS, SEEDS, Outcome, compare, compute, rig_of
from tests.engine.engines import empty
from tests.engine.mutants import NEXT_MUTANTS
from tests.engine.mutation import Mutant, hunt

CASES = 4
SWITCHED_OFF = (
    "laterals",
    "ordered_tables",
    "replaces_history",
    "rollups",
    "transactional_ddl",
    "window_frames",
)


class Reduced(DuckDB):
    """DuckDB without one capability."""

    def __init__(self, capability: str) -> None:
        setattr(self, capability, False)

    def overwrite(self, table: str) -> str:
        """See `Dialect.overwrite`: the table is empty, since no step of these tests is repeated."""
        return f"INSERT INTO {table}"


@pytest.fixture(params=SWITCHED_OFF)
def reduced(request: pytest.FixtureRequest) -> Iterator[Reduced]:
    """What projects with `dialect = "duckdb"` are rendered for."""
    whole = DIALECTS["duckdb"]
    DIALECTS["duckdb"] = reduced = Reduced(request.param)
    yield reduced
    DIALECTS["duckdb"] = whole


def test_a_capability_can_be_switched_off_alone(reduced: Reduced) -> None:
    warehouse = connect(path=":memory:")
    compared = 0
    for number in range(3 * SEEDS, 3 * SEEDS + CASES):
        case, outcome = cases.case_of(number, 1.0, INTERVALS), Outcome(number)
        try:
            rig = rig_of(case, warehouse)
            assert rig.d is reduced
            compute(rig, case, random.Random(f"runs of {number}"))
            compare(rig, case, random.Random(f"reads of {number}"), outcome)
        except (CheckFailed, Problems):
            continue
        finally:
            empty(warehouse)
        assert not outcome.mismatches, number
        compared += outcome.counts.total()
    warehouse.close()
    assert compared > 0


@pytest.mark.parametrize("reduced", ["replaces_history"], indirect=True)
@pytest.mark.parametrize("mutant", NEXT_MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mistake_in_the_next_interval_is_noticed(reduced: Reduced, mutant: Mutant) -> None:
    caught = hunt(mutant, 100, seed=1)
    assert caught is not None, reduced
    assert caught.changes > 0
