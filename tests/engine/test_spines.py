"""Rows of a spine that no feature has a value for, columns of one name, queries in every
spelling."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import Aggregate, Attribute
from controlplane.base.ports import Warehouse
from controlplane.errors import PlaneError, Problems
from controlplane.training import datasets
from controlplane.training.listed import Created, ViewGaps, WithoutValues
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import Rig, micros, records
from tests.engine.test_edges import subject_of

DAY = 86_400_000_000
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT"}
VIEW = subject_of(Aggregate("count", windows=["1d"]), Attribute("amt", "int64"))


@pytest.fixture(params=["duckdb", "snowflake", "databricks"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """Each of the warehouses, empty."""
    if request.param == "duckdb":
        embedded = connect(path=":memory:")
        yield embedded
        embedded.close()
        return
    endpoint = request.getfixturevalue("databricks") if request.param == "databricks" else None
    with opened(request.param, endpoint) as (found, _):
        try:
            yield found
        finally:
            empty(found)


def deployed(warehouse: Warehouse) -> Rig:
    """A view with one row of the key `a`, not computed."""
    rows = [{"k": "a", "ts": datetime(2024, 1, 1, 1), "amt": 7}]  # noqa: DTZ001 - as the embedded warehouse has them
    return Rig(VIEW, COLUMNS, warehouse=warehouse, rows=rows)


def filled(warehouse: Warehouse) -> Rig:
    """The same view, computed for a day."""
    rig = deployed(warehouse)
    rig.materialize(START, START + DAY)
    return rig


def create(rig: Rig, spine: Any, **options: Any) -> Created:
    return datasets.create(
        rig.manifest,
        rig.warehouse,
        name="looks",
        service="all",
        spine=spine,
        time="t",
        created_by="us",
        **options,
    )


def values(rig: Rig, made: Created) -> dict[int, tuple[int, int | None]]:
    query = f"SELECT number, subject__count_1d AS count, subject__amt AS amt FROM {made.table}"
    return {row["number"]: (row["count"], row["amt"]) for row in records(rig.warehouse, query)}


def test_a5_rows_without_a_time_or_a_known_key_have_no_values_and_are_told(warehouse):
    rig = filled(warehouse)
    at = "CAST('2024-01-02 05:00:00' AS TIMESTAMP)"
    rows = [
        ("'a'", at),
        ("'a'", "NULL"),
        ("NULL", at),
        ("'b'", at),
        ("'a'", "CAST('2023-12-31 05:00:00' AS TIMESTAMP)"),
    ]
    if rig.d.name == "duckdb":
        rows += [("'a'", "TIMESTAMP 'infinity'"), ("'a'", "TIMESTAMP '-infinity'")]
    spine = " UNION ALL ".join(
        f"SELECT {number} AS number, CAST({k} AS VARCHAR(10)) AS k, CAST({t} AS TIMESTAMP) AS t"
        for number, (k, t) in enumerate(rows)
    )
    infinite = len(rows) - 5
    gaps = {"subject": ViewGaps(null_keys=1, unknown_keys=1, early_times=1)}
    for options in ({}, {"from_source": True}, {"as_of": "served", "allow_gaps": True}):
        made = create(rig, spine, **options)
        # What is computed now was not served then.
        visible = (0, None) if "as_of" in options else (1, 7)
        assert values(rig, made) == {0: visible, **dict.fromkeys(range(1, len(rows)), (0, None))}
        assert made.without_values == WithoutValues(null_times=1 + infinite, views=gaps)
        assert made.without_values.sentences() == [
            (
                f"{1 + infinite} rows have no time, or an infinite time: their features are null,"
                " counts 0"
            ),
            (
                "feature view 'subject': 1 rows have a null key, 1 rows have a key without rows,"
                " 1 rows have a time before its start: their features are null, counts 0"
            ),
        ]


AT = "CAST('2024-01-02 05:00:00' AS TIMESTAMP) AS t"


def test_a3_a_spine_with_two_columns_of_one_name_is_refused(warehouse):
    rig = deployed(warehouse)  # refused by its columns alone: nothing need be computed
    mark = rig.d.quote_mark
    for spelling in ("status", f"{mark}Status{mark}", "STATUS"):
        spine = f"SELECT 'a' AS k, {AT}, 0 AS status, 1 AS {spelling}"
        for from_source in (False, True):
            with pytest.raises(
                PlaneError,
                match=r"the spine: two of its columns have one name: '[Ss]tatus' and '\w+'",
            ) as caught:
                create(rig, spine, from_source=from_source)
            assert "rename one of them in the query" in caught.value.hint


def test_a3_a_spine_of_a_join_that_brings_a_second_label_is_refused():
    with Rig(VIEW, COLUMNS) as rig:
        rig.run(f"CREATE TABLE raw.orders AS SELECT 'a' AS k, {AT}, 0 AS status")
        rig.run("""CREATE TABLE raw.labels AS SELECT 'a' AS k, 1 AS "Status", 2 AS status2""")
        spine = """SELECT o.*, l."Status" FROM raw.orders o JOIN raw.labels l USING (k)"""
        with pytest.raises(
            PlaneError, match="two of its columns have one name: 'status' and 'Status'"
        ):
            create(rig, spine, from_source=True)


def test_a3_a_view_that_returns_two_columns_of_one_name_is_refused(warehouse):
    for begin in ("", "WITH more AS (SELECT * FROM {events}) "):
        view = subject_of(
            Attribute("amt", "int64"), sql=begin + "SELECT k, ts, amt, amt + 1 AS Amt FROM {events}"
        )
        with pytest.raises(Problems) as caught:
            Rig(view, COLUMNS, warehouse=warehouse)
        assert "refuses its SQL: two of its columns have one name: 'amt' and" in str(caught.value)
    view = subject_of(
        Attribute("amt", "int64"), sql="SELECT k, ts, amt, amt AS amt_1 FROM {events}"
    )
    Rig(view, COLUMNS, warehouse=warehouse)


def test_b13_a_column_that_is_renamed_by_its_case_alone_is_found():
    """DuckDB keeps the spelling of the table."""
    with Rig(VIEW, COLUMNS) as rig:
        rig.run(
            f"CREATE TABLE raw.spine AS SELECT 0 AS number, 'a' AS \"K\", {AT.replace(' AS t', '')}"
            ' AS "T"'
        )
        for options in ({}, {"from_source": True}):
            made = create(
                rig, 'SELECT number, "K" AS k, "T" AS t FROM raw.spine', allow_gaps=True, **options
            )
            assert made.row_count == 1
    view = subject_of(
        Attribute("amt", "int64"),
        sql='SELECT "K" AS k, ts, AMT AS amt FROM {events}',
        keys={"k": "string"},
    )
    with Rig(view, {"K": "VARCHAR", "TS": "TIMESTAMP", "AMT": "BIGINT"}) as rig:
        rig.run("INSERT INTO raw.events VALUES ('a', '2024-01-01 01:00', 7)")
        rig.materialize(START, START + DAY)
        assert [row["amt"] for row in rig.table("latest")] == [7]


ENDS = [
    ";",
    "; -- the end",
    ";\n/* the end */ ;\n",
    " -- the end",
    "-- a; b\n",
    "-- a; b\n;\n/* the end */ ; -- c",
]


def test_b14_comments_and_semicolons_may_end_a_query(warehouse):
    # Each ending is a view of its own, which takes Spark ten seconds: there, the last one has all
    # of them.
    for end in ENDS[-1:] if warehouse.dialect == "databricks" else ENDS:
        sql = "SELECT * FROM {events} WHERE k <> ';'" + end
        rig = Rig(subject_of(Attribute("amt", "int64"), sql=sql), COLUMNS, warehouse=warehouse)
        spine = f"SELECT 0 AS number, CAST('a' AS VARCHAR(10)) AS k, {AT}{end}"
        assert create(rig, spine, from_source=True).row_count == 1


def test_b14_several_statements_are_still_refused():
    with pytest.raises(PlaneError, match="must be exactly one SELECT"):
        Rig(subject_of(Attribute("amt", "int64"), sql="SELECT * FROM {events}; SELECT 1"), COLUMNS)


@pytest.mark.parametrize(
    "spine",
    [
        "FROM '{file}'",
        "'{file}'",
        "FROM '{file}' SELECT k, t;",
        "FROM raw.spine",
        "TABLE raw.spine",
    ],
)
def test_b14_files_and_queries_that_begin_with_from_are_spines(tmp_path, spine):
    file = tmp_path / "train.parquet"
    with Rig(VIEW, COLUMNS) as rig:
        rig.run(f"CREATE TABLE raw.spine AS SELECT 'a' AS k, {AT}", f"COPY raw.spine TO '{file}'")
        made = create(rig, spine.format(file=file), from_source=True)
        assert made.row_count == 1


def test_b21_a_spine_of_nanoseconds_does_not_see_the_next_microsecond():
    rig = filled(connect(path=":memory:"))
    rows = "(0, '2024-01-01 23:59:59.999999999'), (1, '2024-01-02')"
    spine = (
        f"SELECT number, 'a' AS k, CAST(t AS TIMESTAMP_NS) AS t FROM (VALUES {rows}) AS"
        " s(number, t)"
    )
    for options in ({}, {"from_source": True}):
        assert values(rig, create(rig, spine, **options)) == {0: (0, None), 1: (1, 7)}
    rig.close()
