"""The local Snowflake account: its SQL means what Snowflake's means, and what it does not know it
refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime

import pytest

from connectors.snowflake.signin import connect
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.base.ports import Statement, described
from controlplane.errors import PermanentError
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.endpoints.snowflake_examples import QUERIES, SCALARS, SEED


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SnowflakeEndpoint]:
    with SnowflakeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def warehouse(endpoint) -> Iterator[SnowflakeWarehouse]:
    warehouse = connect(**endpoint.options())
    warehouse.execute([Statement("seed", text) for text in SEED.split(";")])
    yield warehouse
    warehouse.close()


def rows(warehouse: SnowflakeWarehouse, sql: str) -> list[tuple]:
    return [tuple(row.values()) for batch in warehouse.fetch(sql) for row in batch.to_pylist()]


def same(found: object, wanted: object) -> bool:
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(
            same(*pair) for pair in zip(found, wanted, strict=True)
        )
    if isinstance(found, float) and isinstance(wanted, float):
        return (
            found == wanted
            or (math.isnan(found) and math.isnan(wanted))
            or math.isclose(found, wanted)
        )
    return type(found) is type(wanted) and found == wanted


@pytest.mark.parametrize(("expression", "value"), SCALARS)
def test_an_expression(warehouse, expression, value):
    [(found,)] = rows(warehouse, f"SELECT {expression} AS x")
    assert same(found, value), found
    kind = described(warehouse, f"SELECT {expression} AS x")["x"]
    [(null,)] = rows(warehouse, f"SELECT ({expression}) IS NULL AS x")
    assert null is (value is None)
    if (
        kind in ("int64", "float64", "string", "bool", "binary", "date", "timestamp")
        and value is not None
    ):
        names = {
            "int64": int,
            "float64": float,
            "string": str,
            "bool": bool,
            "binary": bytes,
            "date": date,
        }
        assert isinstance(value, names.get(kind, datetime))


@pytest.mark.parametrize(("sql", "wanted"), QUERIES)
def test_a_query(warehouse, sql, wanted):
    found = rows(warehouse, sql)
    assert same(found, wanted), found


REFUSED = [
    ("SELECT no_such(1)", "Unknown function NO_SUCH"),
    ("SELECT XXHASH64(1)", "Unknown function XXHASH64"),
    ("SELECT REGR_SLOPE(1, 2)", "Unsupported feature"),
    ("SELECT 1::GEOGRAPHY", "Unsupported data type 'GEOGRAPHY'"),
    ("SELECT 1::TIMESTAMP_TZ", "Unsupported data type"),
    ("SELECT COUNT(*) FILTER (WHERE ok) FROM s.ev", "syntax error"),
    ("SELECT DISTINCT ON (k) k FROM s.ev", "syntax error"),
    ("SELECT * FROM s.ev SAMPLE (10)", "Unsupported feature"),
    ("SELECT * FROM s.ev AT (OFFSET => -60)", "Unsupported feature"),
    ("SELECT MAX_BY(cat, ts) OVER (PARTITION BY k) FROM s.ev", "Unsupported feature"),
    ("SELECT SEQ4()", "Unsupported feature"),
    (
        "SELECT 1 FROM s.sp AS s ASOF JOIN s.ev AS e MATCH_CONDITION (s.at = e.ts) ON s.k = e.k",
        "syntax error",
    ),
    (
        "SELECT 1 FROM s.sp AS s ASOF JOIN s.ev AS e MATCH_CONDITION (s.at > e.ts) ON s.k > e.k",
        "ASOF JOIN",
    ),
    ("SELECT nope FROM s.ev", "invalid identifier 'NOPE'"),
    ('SELECT "k" FROM s.ev', "invalid identifier 'k'"),
    ("SELECT cat, amount FROM s.ev GROUP BY cat", "GROUP BY"),
    ("SELECT * FROM s.nope", "does not exist or not authorized"),
    ("SELECT 1 / 0", "Division by zero"),
    ("SELECT MOD(1, 0)", "Division by zero"),
    ("SELECT 'x'::NUMBER", "Numeric value is not recognized"),
    ("SELECT TO_BINARY('xy', 'HEX')", "hex digit"),
    ("SELECT 'x'::DATE", "Date value is not recognized"),
    ("SELECT 'x'::TIMESTAMP_NTZ", "Timestamp is not recognized"),
    ("SELECT 'x'::BOOLEAN", "Boolean value is not recognized"),
    ("SELECT 1000::NUMBER(3,0)", "out of range"),
    ("selec 1", "syntax error"),
    ("SELECT TO_VARCHAR(SYSDATE(), 'Day')", "Unsupported feature"),
    ("SELECT CONVERT_TIMEZONE('Europe/Berlin', SYSDATE())", "Unsupported feature"),
]
STATEMENTS_REFUSED = [
    ("CREATE TABLE s.ev (a NUMBER)", "already exists"),
    ("CREATE VIEW s.ev AS SELECT 1 AS x", "already exists"),
    ("CREATE TABLE s.bad (a GEOMETRY)", "Unsupported data type"),
    ("CREATE TABLE s.bad (a ARRAY)", "Unsupported feature"),
    ("CREATE TABLE s.bad (a NUMBER PRIMARY KEY)", "Unsupported feature"),
    ("CREATE TABLE s.bad CLONE s.ev", "Unsupported feature"),
    ("CREATE TEMPORARY TABLE s.bad (a NUMBER)", "Unsupported feature"),
    ("CREATE STAGE s.bad", "Unsupported feature"),
    ("CREATE DYNAMIC TABLE s.bad TARGET_LAG = '1 hour' WAREHOUSE = w AS SELECT 1 AS x", "Unsupported feature"),
    ("CREATE TABLE s.bad AS SELECT ARRAY_AGG(k) AS ks FROM s.ev", "expecting ARRAY(type) but got ARRAY for column KS"),
    ("CREATE TABLE s.bad AS SELECT * FROM (SELECT k, ARRAY_SLICE(ks, 0, 2) AS two FROM (SELECT k, ARRAY_AGG(amount) "
     "AS ks FROM s.ev GROUP BY k) AS made) AS cut", "column TWO"),
    ("INSERT INTO s.ev (k, tags) WITH made AS (SELECT 1 AS k, ['x'] AS tags) SELECT k, tags FROM made", "column TAGS"),
    ("CREATE TABLE nowhere.bad (a NUMBER)", "does not exist"),
    ("CREATE SCHEMA s", "already exists"),
    ("DROP TABLE s.nope", "does not exist"),
    ("INSERT INTO s.ev (k) SELECT NULL", "NULL result in a non-nullable column"),
    ("ALTER SESSION SET NO_SUCH_PARAMETER = 1", "invalid session parameter 'NO_SUCH_PARAMETER'"),
    ("ALTER SESSION SET QUOTED_IDENTIFIERS_IGNORE_CASE = TRUE", "Unsupported feature"),
    ("ALTER TABLE s.ev CLUSTER BY (k)", "Unsupported feature"),
    ("ALTER WAREHOUSE compute SUSPEND", "Unsupported feature"),
    ("USE WAREHOUSE nowhere", "does not exist"),
    ("SHOW TABLES", "Unsupported feature"),
    ("CALL something()", "Unsupported feature"),
    ("SELECT 1; SELECT 2", "Actual statement count 2 did not match"),
    ("MERGE INTO s.sp AS t USING (SELECT 1 AS k UNION ALL SELECT 1) AS n ON t.k = n.k WHEN MATCHED THEN DELETE",
     "Duplicate row detected"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "why"), REFUSED)
def test_a_query_that_is_refused(warehouse, sql, why):
    with pytest.raises(PermanentError) as raised:
        rows(warehouse, sql)
    assert why in raised.value.message


@pytest.mark.parametrize(("sql", "why"), STATEMENTS_REFUSED)
def test_a_statement_that_is_refused(warehouse, sql, why):
    with pytest.raises(PermanentError) as raised:
        warehouse.execute([Statement("do", sql)])
    assert why in raised.value.message


def test_an_array_without_an_item_type_is_json(warehouse):
    sql = (
        "SELECT ARRAY_AGG(k) WITHIN GROUP (ORDER BY k) AS a, ARRAY_CONSTRUCT('x', NULL) AS b FROM"
        " s.sp"
    )
    assert described(warehouse, sql) == {"a": "ARRAY", "b": "ARRAY"}
    assert rows(warehouse, sql) == [("[\n  1,\n  2,\n  2\n]", '[\n  "x",\n  undefined\n]')]
    cast = f"SELECT a::ARRAY(NUMBER) AS a FROM ({sql}) AS made"
    assert described(warehouse, cast) == {"a": "array<int64>"}
    assert rows(warehouse, cast) == [([1, 2, 2],)]
