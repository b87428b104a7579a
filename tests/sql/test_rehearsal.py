"""What a run would ask is checked before its tables are there: all that is right passes, and what
is wrong is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import (
    Aggregate,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
    expect,
)
from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import Interval
from controlplane.errors import CheckFailed, PermanentError, Problems
from controlplane.release.variables import fill, run_variables
from controlplane.sql.rehearsal import rehearsed, stand_ins
from controlplane.sql.statements import read
from tests.engine import cases
from tests.engine.differential import INTERVALS
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import Rig
from tests.engine.test_kill import COLUMNS, subject

WITHOUT_A_QUERY = {
    "duckdb": {
        "stage the interval's rows",
        "update the head",
        "mark the newest rows that this replaces",
        "move the watermark",
        "restore the recording time of unchanged rows",
        "point the history to this version",
        "point the replaced history to this version",
        "point the tiles to this version",
        "comment 1",
        "comment 2",
        "record the version that is shown",
    },
    "snowflake": {
        "stage the interval's rows",
        "create the table of changes",
        "update the head",
        "point the history to this version",
        "point the replaced history to this version",
        "point the tiles to this version",
    },
}
"""The stage is explained by itself.

The others compute nothing of their own, or are made for the embedded warehouse.
"""
WITHOUT_A_QUERY["databricks"] = WITHOUT_A_QUERY["snowflake"]
CASES = {"duckdb": 12, "snowflake": 12, "databricks": 1}
SPACED, PLAIN = "Amount Paid, NOT NULL", "amount-paid"  # Delta has no spaces in names

user = Entity("user", keys={"k": "string"}, owner="team")
events = BatchSource(
    "events",
    table="raw.events",
    timestamp="ts",
    expectations=[expect.not_null("k"), expect.rows(at_least=1)],
)


def odd(column: str) -> BatchFeatureView:
    """A view with expectations, several kinds of windows, and a column and a description that are
    hard to read."""

    def subject(events):
        """What is paid AS
        SELECT ') AS n ON x
        WHEN
        """
        return f"SELECT * FROM {events}"

    return batch_feature_view(
        entities=[user],
        sources=[events],
        schedule="1d",
        features=[
            Aggregate("sum", column, name="paid", windows=["1d", "3d"]),
            Aggregate("last_n", "word", n=2, windows=["1d"]),
            Aggregate("sum", "amt", by="word", windows=["1d"], name="by_word"),
        ],
        start="2024-01-01",
        owner="team",
        expectations=[expect.between("amt", 0, 10, severity="warning"), expect.unique("k", "ts")],
    )(subject)


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def warehouse(request) -> Iterator[Warehouse]:
    if request.param == "duckdb":
        embedded = connect(path=":memory:")
        yield embedded
        embedded.close()
    else:
        with opened("snowflake") as (warehouse, _):
            yield warehouse


def asked(rig: Rig, tables: Mapping[str, str] | None = None) -> Sequence[Statement]:
    """The queries of a run over tables that stand in, which name none that is there."""
    timing, view = rig.program.timing, rig.manifest.views[0]
    variables = run_variables(
        rig.program, Interval(timing.start, timing.start + timing.schedule), "plan"
    )

    def filled(text: str) -> str:
        return fill(text, variables)

    run = [
        one
        for name in ("stage", "check", "publish", "doors")
        for one in read(filled(rig.sql[name]))
    ]
    queries = rehearsed(rig.manifest, view, tables or stand_ins(rig.manifest, view), filled)
    assert {one.name for one in run} - {one.name for one in queries} == WITHOUT_A_QUERY[rig.d.name]
    q = rig.d.quote_mark
    for query in queries:
        assert not re.search(rf"{q}(_plane|features){q}\.", query.sql, re.IGNORECASE), query
    return queries


def check(warehouse: Warehouse) -> None:
    """What is asked for random views and an odd one is right; none of their tables is needed."""
    column = PLAIN if warehouse.dialect == "databricks" else SPACED
    views = [(odd(column), COLUMNS | {column: "BIGINT"})]
    views += [
        (cases.case_of(n, 1.0, INTERVALS).definition, cases.COLUMNS)
        for n in range(CASES[warehouse.dialect])
    ]
    refused = []
    for definition, columns in views:
        try:
            queries = asked(Rig(definition, columns, warehouse=warehouse))
            answers = warehouse.describe_all([one.sql for one in queries])
        except (CheckFailed, Problems):
            refused.append(definition)
            continue
        finally:
            empty(warehouse)
        wrong = [
            (one.name, said)
            for one, said in zip(queries, answers, strict=True)
            if isinstance(said, PermanentError)
        ]
        assert not wrong
    assert views[0][0] not in refused
    assert len(refused) < len(views) / 2


def test_what_a_run_asks_is_right(warehouse):
    check(warehouse)


def test_what_a_run_asks_is_right_on_databricks(databricks):
    with opened("databricks", databricks) as (warehouse, _):
        check(warehouse)


def test_only_tables_that_a_query_names_stand_in(warehouse):
    try:
        queries = {one.name: one.sql for one in asked(Rig(subject, COLUMNS, warehouse=warehouse))}
    finally:
        empty(warehouse)
    counted = queries["count the rows"]
    assert counted.startswith("WITH plane__tiles AS (\nSELECT CAST(NULL AS ")
    assert "plane__stage AS (\n" in counted
    assert "plane__history" not in counted
    assert counted.endswith(" AS plane__rehearsed")


def test_a_table_without_a_column_that_is_read_is_noticed(warehouse):
    try:
        rig = Rig(subject, COLUMNS, warehouse=warehouse)
        tables = stand_ins(rig.manifest, rig.manifest.views[0])
        tables["tiles"] = tables["tiles"].replace("tile_start", "another")
        queries = asked(rig, tables)
        answers = warehouse.describe_all([one.sql for one in queries])
    finally:
        empty(warehouse)
    wrong = {
        one.name
        for one, said in zip(queries, answers, strict=True)
        if isinstance(said, PermanentError)
    }
    assert wrong & {"insert the changed history", "compute the changes of the history"}
    assert "point the view to this version" not in wrong
