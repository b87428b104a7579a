"""The local Snowflake account: its SQL means what Snowflake's means, and what it does not know it
refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pytest

from connectors.snowflake.signin import connect
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.base.ports import Statement, described
from controlplane.errors import PermanentError
from tests.endpoints.snowflake import SnowflakeEndpoint

SEED = """
CREATE SCHEMA IF NOT EXISTS S;
CREATE OR REPLACE TRANSIENT TABLE S.EV (
  K NUMBER(38,0) NOT NULL, TS TIMESTAMP_NTZ(6), AMOUNT NUMBER(12,2), SCORE FLOAT, CAT VARCHAR, OK BOOLEAN, DAY DATE,
  RAW BINARY, TAGS ARRAY(VARCHAR), O OBJECT
);
INSERT INTO S.EV
SELECT column1, column2::TIMESTAMP_NTZ(6), column3, column4::FLOAT, column5, column6, column7::DATE,
  TO_BINARY(column8, 'HEX'), PARSE_JSON(column9)::ARRAY(VARCHAR), PARSE_JSON(column10)
FROM VALUES
  (1, '2026-01-01 00:00:00', 10.5, '1.5', 'a', TRUE, '2026-01-01', 'FF', '["x", "y"]', '{"k": 1, "n": {"z": "q"}}'),
  (1, '2026-01-01 00:04:00', 20.0, 'NaN', 'b', FALSE, '2026-01-01', '00AB', '["z"]', '{"k": 2}'),
  (1, '2026-01-01 00:10:00', 5.0, '0.5', 'a', NULL, '2026-01-02', NULL, NULL, NULL),
  (2, '2026-01-01 00:01:00', 7.0, 'inf', 'a', TRUE, '2026-01-03', '', '[]', '{"k": 3}'),
  (2, '2026-01-02 00:01:00', NULL, NULL, NULL, TRUE, NULL, NULL, NULL, NULL);
CREATE OR REPLACE TABLE S.SP AS
SELECT column1 AS K, column2::TIMESTAMP_NTZ AS AT FROM VALUES
  (1, '2026-01-01 00:05:00'), (2, '2026-01-01 00:00:30'), (2, '2026-01-05 00:00:00');
CREATE OR REPLACE VIEW S.CATS (CAT, N) COMMENT = 'how many' AS SELECT CAT, COUNT(*) FROM S.EV GROUP BY CAT
"""
T = datetime
NAN, INF = math.nan, math.inf


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


SCALARS = [
    ("IFF(1 > 2, 'a', 'b')", "b"),
    ("COALESCE(NULL, 2)", 2),
    ("NVL(NULL, 'x')", "x"),
    ("NULLIF(1, 1)", None),
    ("ZEROIFNULL(NULL::NUMBER)", 0),
    ("GREATEST(1, 3)", 3),
    ("GREATEST(1, NULL)", None),
    ("LEAST(1, NULL)", None),
    ("GREATEST_IGNORE_NULLS(1, NULL)", 1),
    ("LEAST_IGNORE_NULLS(NULL, 4, 2)", 2),
    ("GREATEST('NaN'::FLOAT, 1e300)", NAN),
    ("'NaN'::FLOAT = 'NaN'::FLOAT", True),
    ("'NaN'::FLOAT > 'inf'::FLOAT", True),
    ("NULL IS NOT DISTINCT FROM NULL", True),
    ("1 IS DISTINCT FROM NULL", True),
    ("EQUAL_NULL(NULL, NULL)", True),
    ("CASE WHEN 1 = 2 THEN 'x' END", None),
    ("5 / 2", Decimal("2.500000")),
    ("1 / 3", Decimal("0.333333")),
    ("10::NUMBER(10,2) / 4", Decimal("2.50000000")),
    ("1::FLOAT / 4", 0.25),
    ("7 % 3", 1),
    ("MOD(-7, 3)", -1),
    ("2000000000 + 2000000000", 4_000_000_000),
    ("3600 * 1000000 * 10", 36_000_000_000),
    ("9223372036854775807::NUMBER", 9223372036854775807),
    ("-9223372036854775808::NUMBER(38,0)", -9223372036854775808),
    ("FLOOR(-1.5)", -2),
    ("FLOOR(7)", 7),
    ("CEIL(1.2)", 2),
    ("CEIL(1.2::FLOAT)", 2.0),
    ("ROUND(1.255, 2)", Decimal("1.26")),
    ("ROUND(2.5)", 3),
    ("ABS(-3)", 3),
    ("SIGN(-2.5)", -1),
    ("SQRT(9)", 3.0),
    ("LN(1)", 0.0),
    ("POWER(2, 10)", 1024.0),
    ("2.5::FLOAT::NUMBER(38,0)", 3),
    ("'12'::NUMBER", 12),
    ("1.005::NUMBER(5,2)", Decimal("1.01")),
    ("TRUE::VARCHAR", "true"),
    ("1.0::FLOAT::VARCHAR", "1"),
    ("1.50::NUMBER(5,2)::VARCHAR", "1.50"),
    ("TO_VARCHAR('2026-01-01 10:11:12.5'::TIMESTAMP_NTZ)", "2026-01-01 10:11:12.500"),
    (
        "TO_VARCHAR('2026-01-01 10:11:12'::TIMESTAMP_NTZ, 'YYYY-MM-DD\"T\"HH24:MI:SS')",
        "2026-01-01T10:11:12",
    ),
    ("TRY_CAST('x' AS NUMBER)", None),
    ("TRY_CAST('7' AS NUMBER)", 7),
    ("TO_BINARY('00ff', 'HEX')", b"\x00\xff"),
    ("HEX_ENCODE(TO_BINARY('00ff', 'HEX'))", "00FF"),
    ("TO_BINARY('é', 'UTF-8')", "é".encode()),
    ("MD5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    ("MD5_HEX('a')", "0cc175b9c0f1b6a831c399e269772661"),
    ("TO_NUMBER(SUBSTR(MD5('a'), 1, 15), 'XXXXXXXXXXXXXXX')", int("0cc175b9c0f1b6a", 16)),
    ("HASH('a', 1) = HASH('a', 1)", True),
    ("HASH('a') = HASH('b')", False),
    ("HASH(NULL) IS NULL", False),
    ("SHA2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("SUBSTR('abcdef', 2, 3)", "bcd"),
    ("SUBSTR('abc', 0, 2)", "ab"),
    ("LEFT('abc', 2)", "ab"),
    ("RIGHT('abc', 2)", "bc"),
    ("'a' || NULL", None),
    ("'a' || 1", "a1"),
    ("CONCAT('a', 'b', 'c')", "abc"),
    ("CONCAT('a', NULL)", None),
    ("LENGTH('é')", 1),
    ("UPPER('ab') || LOWER('CD') || TRIM(' x ')", "ABcdx"),
    ("REPLACE('abc', 'b', 'x')", "axc"),
    ("STARTSWITH('abc', 'ab') AND ENDSWITH('abc', 'bc') AND CONTAINS('abc', 'b')", True),
    ("'50%' LIKE '5_\\\\%' ESCAPE '\\\\'", True),
    ("DATEADD(HOUR, -2, '2026-01-01 01:00:00'::TIMESTAMP_NTZ)", T(2025, 12, 31, 23)),
    ("DATEADD('day', 1, '2026-01-31'::DATE)", date(2026, 2, 1)),
    ("DATEADD(MONTH, 1, '2026-01-31'::DATE)", date(2026, 2, 28)),
    ("DATEADD(MINUTE, 5, '2026-01-31'::DATE)", T(2026, 1, 31, 0, 5)),
    ("TIMESTAMPADD(MICROSECOND, 1, '2026-01-01'::TIMESTAMP_NTZ)", T(2026, 1, 1, 0, 0, 0, 1)),
    ("TIMESTAMPADD(MICROSECOND, 3600 * 1000000, '2026-01-01'::TIMESTAMP_NTZ)", T(2026, 1, 1, 1)),
    (
        (
            "DATEDIFF(HOUR, '2026-01-01 00:59:00'::TIMESTAMP_NTZ, '2026-01-01"
            " 01:01:00'::TIMESTAMP_NTZ)"
        ),
        1,
    ),
    ("DATEDIFF(WEEK, '2026-01-04'::DATE, '2026-01-05'::DATE)", 1),
    ("DATEDIFF(MONTH, '2026-01-31'::DATE, '2026-02-01'::DATE)", 1),
    (
        "DATEDIFF(MICROSECOND, '2026-01-01'::TIMESTAMP_NTZ, '2026-01-02'::TIMESTAMP_NTZ)",
        86_400_000_000,
    ),
    ("DATE_TRUNC('HOUR', '2026-01-01 10:59:00'::TIMESTAMP_NTZ)", T(2026, 1, 1, 10)),
    ("DATE_TRUNC('WEEK', '2026-01-07'::DATE)", date(2026, 1, 5)),
    ("DATE_PART(EPOCH_MICROSECOND, '1970-01-01 00:00:01.5'::TIMESTAMP_NTZ)", 1_500_000),
    ("DATE_PART(EPOCH_SECOND, '1969-12-31 23:59:59.5'::TIMESTAMP_NTZ)", -1),
    ("EXTRACT(YEAR FROM '2026-05-01'::DATE)", 2026),
    ("HOUR('2026-01-01 10:11:12'::TIMESTAMP_NTZ)", 10),
    ("DAYOFWEEKISO('2026-01-04'::DATE)", 7),
    ("TO_TIMESTAMP_NTZ(1500000, 6)", T(1970, 1, 1, 0, 0, 1, 500000)),
    ("TO_TIMESTAMP_NTZ(-1, 6)", T(1969, 12, 31, 23, 59, 59, 999999)),
    ("TO_TIMESTAMP_NTZ(1767225600123, 3)", T(2026, 1, 1, 0, 0, 0, 123000)),
    (
        "CONVERT_TIMEZONE('UTC', 'America/New_York', '2026-07-01 12:00:00'::TIMESTAMP_NTZ)",
        T(2026, 7, 1, 8),
    ),
    (
        "CONVERT_TIMEZONE('Europe/Berlin', 'UTC', '2026-07-01 12:00:00'::TIMESTAMP_NTZ)",
        T(2026, 7, 1, 10),
    ),
    ("TIME_SLICE('2026-01-01 00:07:00'::TIMESTAMP_NTZ, 5, 'MINUTE')", T(2026, 1, 1, 0, 5)),
    ("'2026-01-01'::TIMESTAMP_NTZ + INTERVAL '90 minutes'", T(2026, 1, 1, 1, 30)),
    ("'9999-12-31 23:59:59.999999'::TIMESTAMP_NTZ(6)", T(9999, 12, 31, 23, 59, 59, 999999)),
    ("'0001-01-01'::TIMESTAMP_NTZ(6)", T(1, 1, 1)),
    ("ABS(DATEDIFF(SECOND, SYSDATE(), CURRENT_TIMESTAMP()::TIMESTAMP_NTZ)) < 5", True),
    ("ARRAY_SIZE(ARRAY_CONSTRUCT(1, 2, NULL))", 3),
    ("ARRAY_SIZE(NULL::ARRAY(NUMBER))", None),
    ("[1, 2]::ARRAY(NUMBER)", [1, 2]),
    ("[1.5, NULL, 'NaN'::FLOAT]::ARRAY(FLOAT)", [1.5, None, NAN]),
    ("ARRAY_CONSTRUCT()::ARRAY(VARCHAR)", []),
    ("ARRAY_SLICE([1, 2, 3]::ARRAY(NUMBER), 0, 2)", [1, 2]),
    ("ARRAY_SLICE([1, 2, 3]::ARRAY(NUMBER), 1, 100)", [2, 3]),
    ("ARRAY_SLICE([1, 2, 3]::ARRAY(NUMBER), -2, 3)", [2, 3]),
    ("ARRAY_SLICE([1, 2, 3]::ARRAY(NUMBER), 0, -1)", [1, 2]),
    ("ARRAY_SLICE([1, 2, 3]::ARRAY(NUMBER), 2, 1)", []),
    ("ARRAY_SORT(ARRAY_DISTINCT([2, 1, 2, NULL]::ARRAY(NUMBER)))", [1, 2, None]),
    ("ARRAY_SORT([3, 1]::ARRAY(NUMBER), FALSE)", [3, 1]),
    ("ARRAY_FLATTEN([[1], [2, 3]]::ARRAY(ARRAY(NUMBER)))", [1, 2, 3]),
    ("ARRAY_CONTAINS(2, [1, 2]::ARRAY(NUMBER))", True),
    ("ARRAY_CONTAINS(9, [1, 2]::ARRAY(NUMBER))", False),
    ("ARRAY_POSITION(2, [1, 2]::ARRAY(NUMBER))", 1),
    ("ARRAY_POSITION(9, [1, 2]::ARRAY(NUMBER))", None),
    ("GET([1, 2]::ARRAY(NUMBER), 1)", 2),
    ("GET([1, 2]::ARRAY(NUMBER), 5)", None),
    ("([1, 2]::ARRAY(NUMBER))[0]", 1),
    ("([1, 2]::ARRAY(NUMBER))[-1]", None),
    ("ARRAY_CAT([1]::ARRAY(NUMBER), [2]::ARRAY(NUMBER))", [1, 2]),
    ("ARRAY_CAT([1]::ARRAY(NUMBER), NULL)", None),
    ("ARRAY_APPEND([1]::ARRAY(NUMBER), 2)", [1, 2]),
    ("FILTER([1, 2, 3]::ARRAY(NUMBER), x -> x > 1)", [2, 3]),
    ("TRANSFORM([1, 2]::ARRAY(NUMBER), x -> x * 10)", [10, 20]),
    ("REDUCE([1, 2, 3]::ARRAY(NUMBER), 10, (acc, x) -> acc + x)", 16),
    ("OBJECT_CONSTRUCT('a', 1, 'b', NULL):a::NUMBER", 1),
    ("OBJECT_CONSTRUCT('a', 1, 'b', NULL):b::NUMBER", None),
    ("{'a': {'b': 'deep'}}:a.b::VARCHAR", "deep"),
    ("PARSE_JSON('{\"a b\": 1}')['a b']::NUMBER", 1),
    ("GET(PARSE_JSON('{\"a\": \"x\"}'), 'a')::VARCHAR", "x"),
    ("CURRENT_ROLE()", "PLANE_ROLE"),
    ("CURRENT_WAREHOUSE()", "COMPUTE"),
    ("CURRENT_DATABASE()", "PLANE"),
]


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


QUERIES = [
    ("SELECT k, COUNT(*), COUNT(amount), COUNT(DISTINCT cat), COUNT_IF(amount > 6) FROM s.ev GROUP BY k ORDER BY k",
     [(1, 3, 3, 2, 2), (2, 2, 1, 1, 1)]),
    ("SELECT k, SUM(amount), MIN(amount), MAX(amount), AVG(amount) FROM s.ev GROUP BY ALL ORDER BY k",
     [(1, Decimal("35.50"), Decimal("5.00"), Decimal("20.00"), Decimal("11.83333333")),
      (2, Decimal("7.00"), Decimal("7.00"), Decimal("7.00"), Decimal("7.00000000"))]),
    ("SELECT AVG(k), AVG(score) FROM s.ev WHERE k = 1 AND cat = 'a'", [(Decimal("1.000000"), 1.0)]),
    ("SELECT MAX(score), MIN(score) FROM s.ev WHERE k = 1", [(NAN, 0.5)]),
    ("SELECT BOOLOR_AGG(ok), BOOLAND_AGG(ok) FROM s.ev WHERE k = 1", [(True, False)]),
    ("SELECT VAR_POP(amount), VAR_SAMP(amount), STDDEV(amount), STDDEV_POP(amount) FROM s.ev WHERE cat = 'a' AND k = 1",
     [(7.5625, 15.125, 3.8890872965260113, 2.75)]),
    ("SELECT MAX_BY(cat, ts), MIN_BY(amount, ts), MAX_BY(amount, ts) FROM s.ev WHERE k = 2",
     [(None, Decimal("7.00"), None)]),
    ("SELECT k, ARRAY_AGG(amount) WITHIN GROUP (ORDER BY ts DESC)::ARRAY(NUMBER(12,2)) FROM s.ev GROUP BY k ORDER BY k",
     [(1, [Decimal("5.00"), Decimal("20.00"), Decimal("10.50")]), (2, [Decimal("7.00")])]),
    ("SELECT ARRAY_AGG(DISTINCT cat) WITHIN GROUP (ORDER BY cat DESC)::ARRAY(VARCHAR) FROM s.ev", [(["b", "a"],)]),
    ("SELECT ARRAY_AGG(cat)::ARRAY(VARCHAR) FROM s.ev WHERE k = 9", [([],)]),
    ("SELECT LISTAGG(cat, '|') WITHIN GROUP (ORDER BY ts) FROM s.ev WHERE k = 1", [("a|b|a",)]),
    ("SELECT k, ts FROM s.ev QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) = 1 ORDER BY k",
     [(1, T(2026, 1, 1, 0, 10)), (2, T(2026, 1, 2, 0, 1))]),
    ("SELECT amount, SUM(amount) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND "
     "CURRENT ROW) FROM s.ev WHERE k = 1 ORDER BY ts",
     [(Decimal("10.50"), Decimal("10.50")), (Decimal("20.00"), Decimal("30.50")), (Decimal("5.00"), Decimal("5.00"))]),
    ("SELECT AVG(amount) OVER (ORDER BY ts ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM s.ev WHERE k = 1 ORDER BY ts",
     [(None,), (Decimal("10.50000000"),), (Decimal("15.25000000"),)]),
    ("SELECT LAG(amount) IGNORE NULLS OVER (ORDER BY ts), FIRST_VALUE(cat) OVER (ORDER BY ts) FROM s.ev "
     "ORDER BY ts DESC LIMIT 1", [(Decimal("5.00"), "a")]),
    ("SELECT ARRAY_AGG(cat) OVER (PARTITION BY k)::ARRAY(VARCHAR) FROM s.ev WHERE k = 2", [(["a"],), (["a"],)]),
    ("SELECT s.k, s.at, e.amount FROM s.sp AS s ASOF JOIN s.ev AS e MATCH_CONDITION (s.at >= e.ts) ON s.k = e.k "
     "ORDER BY s.at",
     [(2, T(2026, 1, 1, 0, 0, 30), None), (1, T(2026, 1, 1, 0, 5), Decimal("20.00")), (2, T(2026, 1, 5), None)]),
    ("SELECT e.k, f.index, f.value FROM s.ev AS e, LATERAL FLATTEN(input => e.tags) AS f ORDER BY f.value",
     [(1, 0, "x"), (1, 1, "y"), (1, 0, "z")]),
    ("SELECT e.amount, f.value FROM s.ev AS e, LATERAL FLATTEN(input => e.tags, outer => TRUE) AS f WHERE e.k = 2 "
     "ORDER BY e.ts", [(Decimal("7.00"), None), (None, None)]),
    ("SELECT value FROM TABLE(FLATTEN(input => [3, 4]::ARRAY(NUMBER))) ORDER BY 1", [(3,), (4,)]),
    ("SELECT SEQ4(), ROW_NUMBER() OVER (ORDER BY SEQ4()) FROM TABLE(GENERATOR(ROWCOUNT => 3)) ORDER BY 1",
     [(0, 1), (1, 2), (2, 3)]),
    ("SELECT DATEADD(DAY, SEQ4(), '2026-01-01'::DATE) FROM TABLE(GENERATOR(ROWCOUNT => 2)) AS g ORDER BY 1",
     [(date(2026, 1, 1),), (date(2026, 1, 2),)]),
    ("SELECT v.column1, v.column2 FROM VALUES (1, 'a'), (2, 'b') AS v ORDER BY 1", [(1, "a"), (2, "b")]),
    ("SELECT a + b FROM (VALUES (1, 2)) AS v (a, b)", [(3,)]),
    ("WITH one AS (SELECT 1 AS x), two AS (SELECT x + 1 AS x FROM one) SELECT x FROM one UNION ALL SELECT x FROM two "
     "ORDER BY x", [(1,), (2,)]),
    ("SELECT k FROM s.sp AS s WHERE EXISTS (SELECT 1 FROM s.ev AS e WHERE e.k = s.k AND e.ts = s.at)", []),
    ("SELECT cat FROM s.ev ORDER BY cat LIMIT 1 OFFSET 4", [(None,)]),
    ("SELECT cat FROM s.ev ORDER BY cat DESC LIMIT 1", [(None,)]),
    ("SELECT score FROM s.ev WHERE score IS NOT NULL ORDER BY score", [(0.5,), (1.5,), (INF,), (NAN,)]),
    ("SELECT o:k::NUMBER, o:n.z::VARCHAR, o['k']::NUMBER FROM s.ev WHERE o IS NOT NULL ORDER BY 1",
     [(1, "q", 1), (2, None, 2), (3, None, 3)]),
    ("SELECT cat, n FROM s.cats ORDER BY cat", [("a", 3), ("b", 1), (None, 1)]),
    ("SELECT raw FROM s.ev ORDER BY ts", [(b"\xff",), (b"",), (b"\x00\xab",), (None,), (None,)]),
    ("SELECT * EXCLUDE (at) FROM s.sp ORDER BY k LIMIT 1", [(1,)]),
    ("SELECT l.m FROM (SELECT DISTINCT k FROM s.ev) AS e, LATERAL (SELECT MAX(ts) AS m FROM s.ev AS x WHERE x.k = e.k) "
     "AS l ORDER BY 1", [(T(2026, 1, 1, 0, 10),), (T(2026, 1, 2, 0, 1),)]),
]  # fmt: skip


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
