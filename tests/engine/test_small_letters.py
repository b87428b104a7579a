"""Columns that Snowflake stores in small letters, since they were made in quotes.

Elsewhere quotes are right too.
"""

from __future__ import annotations

from datetime import datetime

from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.base.ports import Warehouse
from controlplane.errors import PlaneError
from tests.engine.engines import run
from tests.engine.parity import opened
from tests.engine.rig import Rig, micros, records
from tests.engine.test_spines import create, warehouse

__all__ = ["warehouse"]

DAY = 86_400_000_000
START = micros("2024-01-01")
events = BatchSource("events", table="raw.events", timestamp='"ts"')


def subject_of(mark: str) -> BatchFeatureView:
    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=[
            Attribute("amt", "int64", column='"amt"'),
            Aggregate("sum", '"amt"', windows=["1d"], name="total"),
        ],
        schedule="1d",
        start="2024-01-01",
        owner="team",
    )
    def subject(events):
        return f'SELECT "uid" AS k, "ts", "amt" FROM {events}'.replace('"', mark)

    return subject


def test_b12_quoted_names_mean_columns_in_small_letters(warehouse: Warehouse) -> None:
    mark = "`" if warehouse.dialect == "databricks" else '"'
    columns = {'"uid"': "VARCHAR", '"ts"': "TIMESTAMP", '"amt"': "BIGINT"}
    rows = [{'"uid"': "a", '"ts"': datetime(2024, 1, 1, hour), '"amt"': hour} for hour in (1, 2)]  # noqa: DTZ001
    if warehouse.dialect == "duckdb":  # there, tests put quotes around names themselves
        columns = {name.strip('"'): kind for name, kind in columns.items()}
        rows = [{name.strip('"'): value for name, value in row.items()} for row in rows]
    rig = Rig(subject_of(mark), columns, warehouse=warehouse, rows=rows)
    rig.materialize(START, START + DAY)
    [newest] = rig.table("latest")
    assert (newest["amt"], newest["total_1d"]) == (2, 3)
    at = f"CAST('2024-01-02 05:00:00' AS TIMESTAMP) AS {mark}at{mark}"
    spine = f"SELECT CAST('a' AS VARCHAR(10)) AS k, {at}, 5 AS {mark}label{mark}"
    for options in ({}, {"from_source": True}):
        made = create(
            rig, f"SELECT k, {mark}at{mark} AS t, {mark}label{mark} FROM ({spine}) AS s", **options
        )
        [row] = records(warehouse, f"SELECT * FROM {made.table}")
        assert (row["subject__amt"], row["subject__total_1d"]) == (2, 3)
        assert row.get("label", row.get('"label"')) == 5


def test_the_time_that_bounds_an_event_time_may_be_in_small_letters(warehouse: Warehouse) -> None:
    mark = "`" if warehouse.dialect == "databricks" else '"'
    loads = BatchSource("loads", table="raw.events", timestamp='"loaded"', settling_delay="6h")

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[loads],
        timestamp='"happened"',
        event_time_bounds=("-6h", "0s"),
        features=[Aggregate("sum", '"amt"', windows=["1d"], name="total")],
        schedule="1d",
        start="2024-01-01",
        owner="team",
    )
    def subject(loads):
        return f'SELECT "uid" AS k, "happened", "loaded", "amt" FROM {loads}'.replace('"', mark)

    columns = {
        '"uid"': "VARCHAR",
        '"loaded"': "TIMESTAMP",
        '"happened"': "TIMESTAMP",
        '"amt"': "BIGINT",
    }
    happened, loaded = datetime(2024, 1, 1, 23), datetime(2024, 1, 2, 2)  # noqa: DTZ001 - as the warehouse has them
    rows = [{'"uid"': "a", '"loaded"': loaded, '"happened"': happened, '"amt"': 7}]
    if warehouse.dialect == "duckdb":
        columns = {name.strip('"'): kind for name, kind in columns.items()}
        rows = [{name.strip('"'): value for name, value in row.items()} for row in rows]
    rig = Rig(subject, columns, warehouse=warehouse, rows=rows)
    rig.materialize(START, START + DAY)
    assert [row["total_1d"] for row in rig.table("latest")] == [7]


def test_b12_a_name_without_quotes_is_another_one_on_snowflake() -> None:
    with opened("snowflake") as (found, _):
        run(found, "CREATE SCHEMA raw", 'CREATE TABLE raw.events ("ts" TIMESTAMP, TS TIMESTAMP)')
        assert found.columns(["raw.events"])["raw.events"] == {
            '"ts"': "timestamp",
            "ts": "timestamp",
        }
        [refused] = found.describe_all(["SELECT * FROM raw.events"])
        assert isinstance(refused, PlaneError)
        assert refused.message == "two of its columns have one name: '\"ts\"' and 'ts'"
