"""What a run would ask is checked before its tables are there: all that is right passes, and what is wrong is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest

from connectors.duckdb import connect
from controlplane.errors import CheckFailed, PermanentError, Problems
from controlplane.ports import Statement, Warehouse
from controlplane.render.rehearsal import rehearsed
from controlplane.render.statements import split
from controlplane.runtime.variables import fill, run_variables
from controlplane.types import Interval
from tests.engine import cases, engines
from tests.engine.differential import INTERVALS
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import Rig
from tests.engine.test_kill import COLUMNS, subject

WITHOUT_A_QUERY = {
    "duckdb": {
        "stage the interval's rows",
        "take the head",
        "mark the newest rows that this replaces",
        "move the frontier",
        "let what came back the same count from when it was first recorded",
        "point the history to this version",
        "point the replaced history to this version",
        "point the tiles to this version",
        "comment 1",
        "comment 2",
        "note this version",
    },
    "snowflake": {
        "stage the interval's rows",
        "make room for what changes in the history",
        "take the head",
        "point the history to this version",
        "point the replaced history to this version",
        "point the tiles to this version",
    },
}
"""The stage is explained by itself; the others compute nothing of their own, or are made for the embedded warehouse."""
WITHOUT_A_QUERY["databricks"] = WITHOUT_A_QUERY["snowflake"]


CASES = 12


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def warehouse(request) -> Iterator[Warehouse]:
    if request.param == "duckdb":
        embedded = connect(path=":memory:")
        yield embedded
        embedded.close()
    else:
        with opened("snowflake") as (warehouse, _):
            yield warehouse


def statements(rig: Rig, *names: str) -> list[Statement]:
    """The statements of a run, with all put in."""
    timing = rig.program.timing
    variables = run_variables(rig.program, Interval(timing.start, timing.start + timing.schedule), "plan")
    return [one for name in names for one in split(fill(rig.sql[name], variables))]


def asked(rig: Rig) -> Sequence[Statement]:
    """The queries of a run over tables that stand in, which name none that is there."""
    setup, run = statements(rig, "setup"), statements(rig, "stage", "check", "publish", "doors")
    queries = rehearsed(setup, run)
    assert {one.name for one in run} - {one.name for one in queries} == WITHOUT_A_QUERY[rig.d.name]
    q = rig.d.quote_mark
    for query in queries:
        assert not re.search(rf"{q}(_plane|features){q}\.", query.sql, re.IGNORECASE), query
    return queries


def test_what_a_run_asks_is_right(warehouse):
    """Of random views, none of whose tables it needs."""
    checked = 0
    for number in range(CASES):
        try:
            rig = Rig(cases.case_of(number, 1.0, INTERVALS).definition, cases.COLUMNS, warehouse=warehouse)
        except (CheckFailed, Problems):
            continue
        finally:
            empty(warehouse)
        engines.run(warehouse, "CREATE SCHEMA raw")
        engines.make(warehouse, "raw.events", cases.COLUMNS)
        queries = asked(rig)
        for query, answer in zip(queries, warehouse.describe_all([one.sql for one in queries]), strict=True):
            assert not isinstance(answer, PermanentError), (number, query.name, answer)
        empty(warehouse)
        checked += 1
    assert checked > CASES / 2


def test_what_a_run_asks_is_right_on_databricks(databricks):
    with opened("databricks", databricks) as (warehouse, _):
        try:
            queries = asked(Rig(subject, COLUMNS, warehouse=warehouse))
            answers = warehouse.describe_all([one.sql for one in queries])
        finally:
            empty(warehouse)
    assert len(answers) == 11
    assert not [one for one in answers if isinstance(one, PermanentError)]


def test_a_table_without_a_column_that_is_read_is_noticed(warehouse):
    try:
        rig = Rig(subject, COLUMNS, warehouse=warehouse)
        rig.sql["setup"] = rig.sql["setup"].replace("tile_start ", "another ")
        queries = asked(rig)
        answers = warehouse.describe_all([one.sql for one in queries])
    finally:
        empty(warehouse)
    wrong = {one.name for one, said in zip(queries, answers, strict=True) if isinstance(said, PermanentError)}
    assert wrong & {"insert the changed history", "find what changes in the history"}
    assert "point the view to this version" not in wrong
