"""What the Snowflake connector reads: every type at its ends, names, large results, and queries
that are described."""

# ruff: noqa: DTZ001 - timestamps of a warehouse are in UTC and have no zone

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from connectors.snowflake.driver import is_one_query
from connectors.snowflake.types import canonical_type, normalised
from controlplane.base.ports import described
from controlplane.errors import PermanentError
from tests.connectors.snowflake_rig import MANY, do, endpoint, rows, warehouse

__all__ = ["endpoint", "warehouse"]

KINDS = [
    ("TRUE", pa.bool_(), "bool", True),
    ("9223372036854775807::NUMBER(38,0)", pa.int64(), "int64", 2**63 - 1),
    ("-9223372036854775808::NUMBER(38,0)", pa.int64(), "int64", -(2**63)),
    ("7::NUMBER(5,0)", pa.int64(), "int64", 7),
    ("-1234567890.12::NUMBER(12,2)", pa.decimal128(12, 2), "decimal(12,2)", Decimal("-1234567890.12")),
    ("'0.00000000000000000000000000000000000001'::NUMBER(38,37)", pa.decimal128(38, 37), "decimal(38,37)", Decimal(0)),
    ("'99999999999999999999999999999999.999999'::NUMBER(38,6)", pa.decimal128(38, 6), "decimal(38,6)",
     Decimal("99999999999999999999999999999999.999999")),
    ("1.5::FLOAT", pa.float64(), "float64", 1.5),
    ("'-inf'::FLOAT", pa.float64(), "float64", -math.inf),
    ("1e308::FLOAT", pa.float64(), "float64", 1e308),
    ("'é\\'\"\\n'", pa.string(), "string", "é'\"\n"),
    ("TO_BINARY('00FF', 'HEX')", pa.binary(), "binary", b"\x00\xff"),
    ("'0001-01-01'::DATE", pa.date32(), "date", date(1, 1, 1)),
    ("'9999-12-31'::DATE", pa.date32(), "date", date(9999, 12, 31)),
    ("'0001-01-01'::TIMESTAMP_NTZ(6)", pa.timestamp("us"), "timestamp", datetime(1, 1, 1)),
    ("'9999-12-31 23:59:59.999999'::TIMESTAMP_NTZ(6)", pa.timestamp("us"), "timestamp",
     datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("'2026-01-01 12:00:00 +02:00'::TIMESTAMP_LTZ", pa.timestamp("us"), "timestamp", datetime(2026, 1, 1, 10)),
    ("[1, NULL, 9223372036854775807]::ARRAY(NUMBER)", pa.list_(pa.int64()), "array<int64>", [1, None, 2**63 - 1]),
    ("['a', NULL, 'undefined', 'x,\"y']::ARRAY(VARCHAR)", pa.list_(pa.string()), "array<string>",
     ["a", None, "undefined", 'x,"y']),
    ("[1.5, NULL, 'inf'::FLOAT, '-inf'::FLOAT]::ARRAY(FLOAT)", pa.list_(pa.float64()), "array<float64>",
     [1.5, None, math.inf, -math.inf]),
    ("[1.25, NULL]::ARRAY(NUMBER(12,2))", pa.list_(pa.decimal128(12, 2)), "array<decimal(12,2)>",
     [Decimal("1.25"), None]),
    ("[TRUE, NULL]::ARRAY(BOOLEAN)", pa.list_(pa.bool_()), "array<bool>", [True, None]),
    ("['2026-01-01'::DATE]::ARRAY(DATE)", pa.list_(pa.date32()), "array<date>", [date(2026, 1, 1)]),
    ("['2026-01-01 00:00:00.000001'::TIMESTAMP_NTZ(6)]::ARRAY(TIMESTAMP_NTZ(6))", pa.list_(pa.timestamp("us")),
     "array<timestamp>", [datetime(2026, 1, 1, 0, 0, 0, 1)]),
    ("ARRAY_CONSTRUCT()::ARRAY(VARCHAR)", pa.list_(pa.string()), "array<string>", []),
    ("[[1], NULL]::ARRAY(ARRAY(NUMBER))", pa.list_(pa.list_(pa.int64())), "array<array<int64>>", [[1], None]),
]  # fmt: skip


def plain(kind: pa.DataType) -> pa.DataType:
    """A type without the names of its items."""
    return pa.list_(plain(kind.value_type)) if pa.types.is_list(kind) else kind


@pytest.mark.parametrize("arrays_as_text", [False, True])
def test_every_type_comes_in_its_own_arrow_type(warehouse, endpoint, arrays_as_text):
    endpoint.account.arrays_as_text = arrays_as_text
    columns = ", ".join(
        f"{expression} AS c{number}" for number, (expression, *_) in enumerate(KINDS)
    )
    nothing = ", ".join(
        f"NULLIF({expression}, {expression}) AS c{number}"
        for number, (expression, *_) in enumerate(KINDS)
    )
    sql = f"SELECT {columns} UNION ALL SELECT {nothing}"
    assert described(warehouse, sql) == {
        f"c{number}": kind for number, (_, _, kind, _) in enumerate(KINDS)
    }
    table = pa.Table.from_batches(warehouse.fetch(sql))
    assert [plain(field.type) for field in table.schema] == [kind for _, kind, _, _ in KINDS]
    first, second = sorted(table.to_pylist(), key=lambda row: row["c0"] is None)
    assert list(first.values()) == [value for *_, value in KINDS]
    assert set(second.values()) == {None}
    assert isinstance(first["c3"], int)


@pytest.mark.parametrize("arrays_as_text", [False, True])
def test_a_nan_is_no_null(warehouse, endpoint, arrays_as_text):
    endpoint.account.arrays_as_text = arrays_as_text
    [row] = rows(warehouse, "SELECT 'NaN'::FLOAT AS x, ['NaN'::FLOAT, NULL]::ARRAY(FLOAT) AS l")
    assert (math.isnan(row["x"]), math.isnan(row["l"][0]), row["l"][1]) == (True, True, None)


def test_columns_of_tables(warehouse):
    kinds = (
        "BOOLEAN",
        "NUMBER",
        "NUMBER(12,2)",
        "FLOAT",
        "VARCHAR",
        "BINARY",
        "DATE",
        "TIMESTAMP_NTZ(6)",
        "OBJECT",
    )
    columns = ", ".join(
        f"c{number} {kind}" for number, kind in enumerate((*kinds, "ARRAY(FLOAT)", "TIMESTAMP_LTZ"))
    )
    do(warehouse, "CREATE SCHEMA s", f'CREATE TABLE s.t ({columns}, "asIs" NUMBER, "low" NUMBER)')
    do(warehouse, "CREATE VIEW s.v AS SELECT c0, c2 / 4 AS quarter FROM s.t")
    names = ["s.t", '"S"."T"', "PLANE.s.v", "s.nothing", "nowhere.t"]
    found = warehouse.columns(names)
    assert list(found) == names
    of_t = (
        "bool int64 decimal(12,2) float64 string binary date timestamp VARIANT array<float64>"
        " timestamp int64 int64"
    )
    assert found["s.t"] == dict(
        zip([f"c{n}" for n in range(11)] + ["asIs", '"low"'], of_t.split(), strict=True)
    )
    assert found['"S"."T"'] == found["s.t"]
    assert found["PLANE.s.v"] == {"c0": "bool", "quarter": "decimal(38,8)"}
    assert (found["s.nothing"], found["nowhere.t"]) == (None, None)
    assert warehouse.columns([]) == {}


def test_types_in_snowflakes_words():
    words = {
        "NUMBER(38,0)": "int64",
        "NUMBER(12,2)": "decimal(12,2)",
        "ARRAY(NUMBER(38,0) NOT NULL)": "array<int64>",
        "ARRAY(ARRAY(FLOAT))": "array<array<float64>>",
        "ARRAY(VARIANT)": "ARRAY(VARIANT)",
        "ARRAY": "ARRAY",
        "TIMESTAMP_TZ(9)": "timestamp",
        "OBJECT(a NUMBER(38,0), b VARCHAR)": "OBJECT(a NUMBER(38,0), b VARCHAR)",
        "VARCHAR(10) COLLATE 'de'": "VARCHAR(10) COLLATE 'de'",
    }
    assert {text: canonical_type(text) for text in words} == words


def test_a_number_that_has_no_place(warehouse):
    with pytest.raises(PermanentError) as raised:
        rows(warehouse, "SELECT 9223372036854775807::NUMBER(38,0) + 1 AS n")
    assert raised.value.message.startswith("reading: column 'n' of type int64: ")
    assert "cast the column" in raised.value.hint


def test_finer_times_are_cut_and_zones_become_utc():
    nanos = pa.array([1_999], pa.timestamp("ns", "America/New_York"))
    found = normalised(pa.table({"T": nanos}), [("t", "timestamp")])
    assert found.column("t").to_pylist() == [datetime(1970, 1, 1, 0, 0, 0, 1)]


def test_names_of_results(warehouse):
    [batch] = warehouse.fetch('SELECT 1 AS plain, 2 AS "lower", 3 AS "Mixed", 4 AS "UPPER_1"')
    assert batch.schema.names == ["plain", "lower", "Mixed", "upper_1"]


def test_a_result_without_rows(warehouse):
    assert list(warehouse.fetch("SELECT 1 AS x WHERE FALSE")) == []
    assert described(warehouse, "SELECT 1 AS x WHERE FALSE") == {"x": "int64"}


def test_large_results_come_in_batches_and_in_order(warehouse):
    batches = list(warehouse.fetch(MANY.format(350_000)))
    assert max(batch.num_rows for batch in batches) <= 65_536
    numbers = pa.chunked_array([batch.column("n") for batch in batches]).to_pylist()
    assert numbers == list(range(350_000))


def test_only_a_few_parts_of_a_result_are_held(warehouse):
    before = pa.total_allocated_bytes()
    most = 0
    for batch in warehouse.fetch(MANY.format(2_000_000)):
        most = max(most, pa.total_allocated_bytes() - before)
        assert batch.num_rows
    whole = 2_000_000 * (8 + 4 + len("row 1000000"))
    # The account itself is in this process and holds the whole result once; the driver's parts come
    # on top.
    assert most < whole * 2


def test_a_reader_may_stop_in_the_middle(warehouse):
    batches = warehouse.fetch(MANY.format(500_000))
    assert next(batches).num_rows
    batches.close()
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]


def test_many_queries_are_described_as_each_alone(warehouse, endpoint):
    queries = [f"SELECT {number} AS n{number}" for number in range(40)]
    assert warehouse.describe_all(queries) == [{f"n{number}": "int64"} for number in range(40)]
    assert warehouse.describe_all([]) == []
    assert endpoint.history == []


def test_of_many_queries_each_has_its_own_error(warehouse):
    first, broken, last = warehouse.describe_all(
        ["SELECT 1 AS x", "SELECT nope", "SELECT 'x' AS y"]
    )
    assert (first, last) == ({"x": "int64"}, {"y": "string"})
    assert isinstance(broken, PermanentError)
    assert "invalid identifier 'NOPE'" in broken.message
    assert "in capitals" in broken.hint


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "-- SELECT\nDELETE FROM t",
        "/* ; */ INSERT INTO t SELECT 1",
        "",
        "SELECT 1; SELECT 2",
        "SELECT ';'; DROP TABLE t",
        "CALL p()",
    ],
)
def test_what_is_not_one_query_is_not_described(warehouse, endpoint, text):
    with pytest.raises(PermanentError, match="exactly one query"):
        described(warehouse, text)
    assert endpoint.history == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ';' AS x",
        'select 1 as "a;b" -- and; that',
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a;",
        "  /* first; */ (SELECT 1 AS x)",
        "SELECT $$ ; $$ AS x",
        "SELECT 'it''s; \\' ; ' AS x",
        "// comment;\nSELECT 1 AS x",
    ],
)
def test_one_query_may_hold_semicolons(text):
    assert is_one_query(text)
