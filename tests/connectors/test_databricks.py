"""The Databricks connector against the local endpoint: values, columns, counts, and every way in
which it may fail."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from connectors.databricks import connect
from connectors.databricks.plans import estimated
from connectors.databricks.warehouse import DatabricksWarehouse
from controlplane.base.ports import Estimate, Statement, described
from controlplane.errors import PermanentError
from tests.connectors.databricks_rig import endpoint, opened, warehouse
from tests.endpoints.databricks.client import DatabricksEndpoint, own_schema

__all__ = ["endpoint", "opened", "warehouse"]


@pytest.fixture(scope="module")
def schema(opened: DatabricksWarehouse) -> Iterator[str]:
    with own_schema(opened) as name:
        yield name


def rows(warehouse: DatabricksWarehouse, sql: str) -> list[dict[str, Any]]:
    return [row for batch in warehouse.fetch(sql) for row in batch.to_pylist()]


def run(warehouse: DatabricksWarehouse, *statements: str) -> list[int]:
    return warehouse.execute([Statement(f"statement {i}", sql) for i, sql in enumerate(statements)])


def statements(endpoint: DatabricksEndpoint, text: str) -> list[dict[str, Any]]:
    """The history of the statements that hold `text`."""
    return [entry for entry in endpoint.history if text in entry["sql"]]


at = datetime.fromisoformat

KINDS = {
    "TRUE": ("bool", pa.bool_(), True),
    "CAST(-128 AS TINYINT)": ("int64", pa.int64(), -128),
    "CAST(32767 AS SMALLINT)": ("int64", pa.int64(), 32767),
    "-2147483648": ("int64", pa.int64(), -(2**31)),
    "-9223372036854775808L": ("int64", pa.int64(), -(2**63)),
    "CAST(1.5 AS FLOAT)": ("float64", pa.float64(), 1.5),
    "1.7976931348623157E308D": ("float64", pa.float64(), 1.7976931348623157e308),
    "-double('infinity')": ("float64", pa.float64(), -math.inf),
    "'\u00e9\U0001f9ea''\\n'": ("string", pa.string(), "\u00e9\U0001f9ea'\n"),
    "CAST('x' AS VARCHAR(3))": ("string", pa.string(), "x"),
    "X'00FF'": ("binary", pa.binary(), b"\x00\xff"),
    "DATE '0001-01-01'": ("date", pa.date32(), date(1, 1, 1)),
    "TIMESTAMP '9999-12-31 23:59:59.999999'": (
        "timestamp",
        pa.timestamp("us"),
        at("9999-12-31T23:59:59.999999"),
    ),
    "TIMESTAMP '2026-01-02 03:04:05+09:00'": (
        "timestamp",
        pa.timestamp("us"),
        at("2026-01-01T18:04:05"),
    ),
    "TIMESTAMP_NTZ '1582-10-04 00:00:00.000001'": (
        "timestamp",
        pa.timestamp("us"),
        at("1582-10-04T00:00:00.000001"),
    ),
    "CAST('-99999999999999999999999999999999999999' AS DECIMAL(38,0))": (
        "decimal(38,0)",
        pa.decimal128(38, 0),
        Decimal("-" + "9" * 38),
    ),
    "CAST(0.000001 AS DECIMAL(12,6))": ("decimal(12,6)", pa.decimal128(12, 6), Decimal("0.000001")),
    "array(1, NULL, 3)": ("array<int64>", pa.list_(pa.int64()), [1, None, 3]),
    "array(array('a'), NULL, array())": (
        "array<array<string>>",
        pa.list_(pa.list_(pa.string())),
        [["a"], None, []],
    ),
    "array(TIMESTAMP '2026-01-01', NULL)": (
        "array<timestamp>",
        pa.list_(pa.timestamp("us")),
        [at("2026-01-01"), None],
    ),
    "map('a', 1)": ("map<string,int>", None, [("a", 1)]),
    "INTERVAL '1' DAY": ("interval day", None, "INTERVAL '1' DAY"),
    "CAST(NULL AS BIGINT)": ("int64", pa.int64(), None),
}


def test_values_and_types(warehouse):
    query = "SELECT " + ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(KINDS))
    [batch] = warehouse.fetch(query)
    columns = described(warehouse, query)
    for (sql, (canonical, kind, value)), found in zip(
        KINDS.items(), batch.itercolumns(), strict=True
    ):
        name = f"c{list(KINDS).index(sql)}"
        assert (sql, columns[name], found[0].as_py()) == (sql, canonical, value)
        assert kind is None or found.type == kind, sql


def test_numbers_that_are_none(warehouse):
    [row] = rows(
        warehouse, "SELECT array(CAST('NaN' AS FLOAT), NULL, -0.0D) AS l, double('NaN') AS d"
    )
    assert math.isnan(row["d"])
    assert math.isnan(row["l"][0])
    assert row["l"][1] is None
    assert math.copysign(1, row["l"][2]) == -1


def test_a_result_without_rows(warehouse):
    assert list(warehouse.fetch("SELECT 1 AS x WHERE FALSE")) == []


def test_a_large_result_streams(warehouse):
    held, total, count, last = 0, 0, 0, None
    for batch in warehouse.fetch(
        "SELECT id, CAST(id AS STRING) AS s, id * 0.5D AS f FROM range(2000000)"
    ):
        total += batch.nbytes
        count += batch.num_rows
        held = max(held, pa.total_allocated_bytes())
        last = batch.column(0)[-1].as_py()
    assert (count, last) == (2_000_000, 1_999_999)
    assert held < total / 2


def test_a_result_in_several_parts(warehouse):
    assert (
        sum(
            batch.num_rows
            for batch in warehouse.fetch("SELECT id % 2 = 0 AS even FROM range(200000)")
        )
        == 200_000
    )


def test_a_statement_while_rows_stream(warehouse, schema):
    stream = warehouse.fetch("SELECT id FROM range(500000)")
    first = next(stream)
    run(warehouse, f"CREATE TABLE {schema}.beside (x INT)")
    assert first.num_rows + sum(batch.num_rows for batch in stream) == 500_000


def test_counts(warehouse, schema):
    table = f"{schema}.counted"
    assert run(
        warehouse,
        f"CREATE TABLE {table} (k BIGINT, v STRING)",
        f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        f"UPDATE {table} SET v = 'z' WHERE k > 1",
        f"MERGE INTO {table} AS t USING (SELECT 3L AS k, 'm' AS v UNION ALL SELECT 4L, 'n') AS s ON"
        " t.k = s.k WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        f"DELETE FROM {table} WHERE k = 1",
    ) == [-1, 3, 2, 2, 1]
    assert rows(warehouse, f"SELECT k, v FROM {table} ORDER BY k") == [
        {"k": 2, "v": "z"},
        {"k": 3, "v": "m"},
        {"k": 4, "v": "n"},
    ]


def test_statements_stop_at_the_first_error(warehouse, schema):
    made, never = f"{schema}.made", f"{schema}.never"
    work = [
        Statement("make", f"CREATE TABLE {made} (x INT)"),
        Statement("break", "SELECT nope"),
        Statement("go on", f"CREATE TABLE {never} (x INT)"),
    ]
    with pytest.raises(PermanentError, match=r"^break: A column"):
        warehouse.execute(work, atomic=True)
    assert warehouse.columns([made, never]) == {made: {"x": "int64"}, never: None}


def test_every_statement_bears_its_tags(warehouse, endpoint):
    warehouse.execute([Statement("look", "SELECT 'tagged' AS x")], tag="plane:trips/publish")
    list(warehouse.fetch("SELECT 'tagged too' AS x", tag="t" * 200))
    first, second = statements(endpoint, "SELECT 'tagged")
    assert first["tags"] == r"application:controlplane,work:plane\:trips/publish,statement:look"
    assert second["tags"] == f"application:controlplane,work:{'t' * 128},statement:reading"
    assert first["settings"]["QUERY_TAGS"] == "application:controlplane"


def test_a_session_is_set_to_utc_and_strict_arithmetic(warehouse, endpoint):
    [row] = rows(warehouse, "SELECT current_timezone() AS zone, current_catalog() AS catalog")
    assert row == {"zone": "UTC", "catalog": "spark_catalog"}
    with pytest.raises(PermanentError, match="Division by zero"):
        rows(warehouse, "SELECT 1 / 0 AS x")
    settings = statements(endpoint, "current_timezone")[-1]["settings"]
    assert settings["STATEMENT_TIMEOUT"] == "14400"
    # Whatever the default of the SQL warehouse is; `LEGACY` gives 1 January here.
    assert rows(warehouse, "SET spark.sql.legacy.timeParserPolicy")[0]["value"] == "EXCEPTION"
    with pytest.raises(PermanentError, match=r"(?i)legacy|upgrading"):
        rows(warehouse, "SELECT to_timestamp('2024-1-1', 'yyyy-MM-dd') AS x")


def test_the_driver_talks_to_the_warehouse_alone(endpoint):
    before = len(endpoint.calls)
    warehouse = connect(**endpoint.options())
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]
    warehouse.close()
    assert set(endpoint.calls[before:]) == {"POST /sql/1.0/warehouses/tests"}


def test_columns(warehouse, schema):
    run(
        warehouse,
        f"CREATE TABLE {schema}.`select` (a INT, `from` ARRAY<TIMESTAMP>, s STRUCT<x: INT>)"
        " PARTITIONED BY (a)",
        f"CREATE VIEW {schema}.seen AS SELECT a, count(*) AS `how many` FROM {schema}.`select`"
        " GROUP BY a",
    )
    quoted, three_levels = f"`{schema}`.`select`", f"spark_catalog.{schema}.seen"
    assert warehouse.columns([quoted, three_levels, f"{schema}.nope", "no_schema.nope"]) == {
        quoted: {"a": "int64", "from": "array<timestamp>", "s": "struct<x:int>"},
        three_levels: {"a": "int64", "how many": "int64"},
        f"{schema}.nope": None,
        "no_schema.nope": None,
    }
    assert warehouse.columns([]) == {}
    with pytest.raises(PermanentError, match=r"^reading the columns of no such thing: "):
        warehouse.columns(["no such thing"])


QUERIES = (
    "SELECT 1 AS a, 'x' AS b -- with a remark",
    (
        "WITH one AS (SELECT 1.5 AS x) SELECT x AS `the ``x```, map(1, 2) AS m FROM one ORDER BY 1"
        " LIMIT 1"
    ),
    "FROM VALUES (1, 'x') AS t (a, b) SELECT a, b WHERE b = ')'",
    "VALUES (1, X'00')",
    "SELECT struct(" + ", ".join(f"{i} AS c{i}" for i in range(30)) + ") AS wide",
    "SELECT count(*) AS n FROM range(10) GROUP BY id",
)


def test_many_queries_are_described_as_each_alone(warehouse):
    assert (
        warehouse.describe_all(QUERIES * 5)
        == [described(warehouse, query) for query in QUERIES] * 5
    )
    assert warehouse.describe_all([]) == []


def test_of_many_queries_each_has_its_own_error(warehouse):
    first, broken, last = warehouse.describe_all(
        ["SELECT 1 AS x", "SELECT nope", "SELECT 'x' AS y"]
    )
    assert (first, last) == ({"x": "int64"}, {"y": "string"})
    with pytest.raises(PermanentError) as raised:
        described(warehouse, "SELECT nope")
    assert (broken.message, broken.hint) == (raised.value.message, raised.value.hint)


def test_describing_runs_nothing(warehouse, endpoint):
    assert described(warehouse, "SELECT raise_error('it ran') AS x, 1 AS y") == {
        "x": "void",
        "y": "int64",
    }
    assert [entry["state"] for entry in statements(endpoint, "it ran")] == ["FINISHED"]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1 AS x; SELECT 2 AS x",
        "SELECT 1 AS x; DROP TABLE {schema}.kept",
        "DROP TABLE {schema}.kept",
        "INSERT INTO {schema}.kept SELECT 2",
        "WITH two AS (SELECT 2 AS x) INSERT INTO {schema}.kept SELECT x FROM two",
        "FROM {schema}.kept INSERT INTO {schema}.kept SELECT x",
        "SELECT 1 AS x) AS one, (SELECT 2 AS y",
        "{schema}.kept",
        "EXTENDED {schema}.kept",
    ],
)
def test_only_one_query_is_described(warehouse, schema, sql):
    run(warehouse, f"CREATE TABLE IF NOT EXISTS {schema}.kept AS SELECT 1 AS x")
    text = sql.format(schema=schema)
    with pytest.raises(PermanentError):
        described(warehouse, text)
    fine, broken = warehouse.describe_all(["SELECT 1 AS x", text])
    assert fine == {"x": "int64"}
    assert isinstance(broken, PermanentError)
    assert rows(warehouse, f"SELECT * FROM {schema}.kept") == [{"x": 1}]


def test_what_it_says_of_itself(endpoint):
    warehouse = connect(**endpoint.options())
    place = {"place": "127.0.0.1", "user": warehouse.info()["user"], "catalog": "spark_catalog"}
    assert warehouse.info() == {"product": "Spark 4.2.0", **place}
    # Where current_version is a function, this is a Databricks.
    kind, value = "STRUCT<dbr_version: STRING, dbsql_version: STRING>", "named_struct({}, {})"
    of_a_warehouse = value.format("'dbr_version', NULL", "'dbsql_version', '2026.20'")
    run(
        warehouse,
        f"CREATE TEMPORARY FUNCTION current_version() RETURNS {kind} RETURN {of_a_warehouse}",
    )
    assert warehouse.info() == {"product": "Databricks SQL 2026.20", **place}
    of_a_cluster = value.format("'dbr_version', '18.0'", "'dbsql_version', NULL")
    run(
        warehouse,
        f"CREATE OR REPLACE TEMPORARY FUNCTION current_version() RETURNS {kind} RETURN"
        f" {of_a_cluster}",
    )
    assert warehouse.info() == {"product": "Databricks Runtime 18.0", **place}
    warehouse.close()


def test_what_a_query_would_read_is_estimated(warehouse, schema):
    run(
        warehouse,
        f"CREATE TABLE {schema}.t AS SELECT id FROM range(100)",
        "SET spark.sql.maxPlanStringLength = 9999",
    )
    queries = [
        f"SELECT * FROM {schema}.t WHERE id > 3",
        f"SELECT * FROM {schema}.nowhere",
        "SELECT 1 AS one",
    ]
    whole, missing, computed = warehouse.explain(queries)
    assert isinstance(whole, Estimate)
    assert (whole.rows, computed) == (None, Estimate())
    assert 100 < (whole.read_bytes or 0) < 10_000
    assert isinstance(missing, PermanentError)
    assert "nowhere" in missing.message


def test_what_spark_says_of_tables_with_statistics():
    plan = (
        "== Optimized Logical Plan ==\nJoin Inner, Statistics(sizeInBytes=6.3 KiB,"
        " rowCount=1.20E+3)\n:- Filter isnotnull(k#1), Statistics(sizeInBytes=2.0 MiB)\n:  +-"
        " Relation a.b[k#1] parquet, Statistics(sizeInBytes=2.0 MiB, rowCount=10)\n+- Relation"
        " a.c[k#2] parquet, Statistics(sizeInBytes={})\n\n== Physical Plan ==\nRelation"
    )
    assert estimated(plan.format("1024.0 B")) == Estimate(rows=1200, read_bytes=2 * 1024**2 + 1024)
    assert estimated(plan.format("8.0 EiB")) == Estimate(rows=1200)


@pytest.mark.parametrize("atomic", [True, False])
def test_a_statement_that_changes_nothing_may_decide_that_no_other_runs(warehouse, atomic):
    warehouse.execute([Statement("make", "CREATE OR REPLACE TABLE decided (x BIGINT)")])
    for take, expected in (
        ("DELETE FROM decided WHERE x = 0", [0]),
        ("INSERT INTO decided SELECT 0", [1, 1]),
    ):
        first = Statement("take", take, decides=True)
        rest = Statement("go on", "INSERT INTO decided SELECT 1")
        assert warehouse.execute([first, rest], atomic=atomic) == expected
