"""Every mutant is a mistake in the other warehouses' SQL, too, or has no place there: what is
rendered, not what runs.

`make parity MUTANTS=1` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import Problems
from controlplane.sql import training
from controlplane.sql.dialects import DIALECTS
from controlplane.sql.rows import evaluated_together
from controlplane.sql.statements import read
from controlplane.sql.views import render_view
from tests.engine import cases, engines, mutants_elsewhere
from tests.engine.mutants import MUTANTS
from tests.engine.mutation import Mutant, telling
from tests.engine.rig import compiled

LAST = datetime(2030, 1, 1)  # noqa: DTZ001 - of the spine, in UTC
CASES = 6
"""Cases of each mutant, among which its mistake must be found."""


class Speaking:
    """The embedded warehouse, which describes tables, under the name of another."""

    def __init__(self, warehouse: Warehouse, dialect: str) -> None:
        self._warehouse = warehouse
        self.dialect = dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)


@pytest.fixture(scope="module")
def tables() -> Iterator[Warehouse]:
    warehouse = connect(path=":memory:")
    engines.run(warehouse, "CREATE SCHEMA raw")
    engines.make(warehouse, "raw.events", cases.COLUMNS)
    yield warehouse
    warehouse.close()


def rendered(number: int, dialect: str, tables: Warehouse) -> list[Statement]:
    """What a case runs in a dialect: its intervals, and a training set from sources if it isn't
    refused."""
    case = cases.case_of(number, 0.0, [1])
    try:
        manifest = compiled([case.definition], Speaking(tables, dialect))
    except Problems:
        return []
    view = manifest.views[0]
    files = render_view(manifest, view)
    columns = dict(view.keys) | {"asked": "timestamp"}
    set_ = training.Dataset(
        "looks", 1, "all", "SELECT * FROM raw.spine", "asked", "us", through=LAST
    )
    filled = (
        file.replace("{{ plane.start }}", "2024-01-04") for file in (files.stage, files.publish)
    )
    found = [one for file in filled for one in read(file)]
    if evaluated_together(manifest, view, DIALECTS[dialect]):
        found += training.render_dataset(manifest, set_, columns)
    return found


@pytest.mark.parametrize("dialect", mutants_elsewhere.ELSEWHERE)
def test_each_has_a_place_or_a_reason(dialect, tables):
    strangers = mutants_elsewhere.out_of_place(dialect)
    seen: dict[int, list[Statement]] = {}
    for mutant in MUTANTS:
        there = mutants_elsewhere.on(dialect, mutant)
        for number in islice(telling(mutant, 0), CASES):
            if number not in seen:
                seen[number] = rendered(number, dialect, tables)
                mutants_elsewhere.check_places(strangers, seen[number])
            if there in strangers or any(there.alter(one) != one.sql for one in seen[number]):
                break
        else:
            pytest.fail(f"{mutant.name!r} changes nothing")


def test_a_reason_that_no_longer_holds_is_noticed(tables):
    stranger = Mutant(
        "it can be made", "moment <= head", "moment < head", mutants_elsewhere.CHANGES
    )
    number = next(telling(MUTANTS[0], 0))
    with pytest.raises(
        mutants_elsewhere.InPlace, match="'it can be made' has a place now, in: compute the changes"
    ):
        mutants_elsewhere.check_places([stranger], rendered(number, "snowflake", tables))


def test_all_are_known_by_their_names():
    names = {mutant.name for mutant in MUTANTS}
    assert [
        name
        for edits in mutants_elsewhere.ELSEWHERE.values()
        for name in edits
        if name not in names
    ] == []
