"""The Snowflake connector, over the vendor's driver and a local account: rows, transactions, errors, lost answers."""
# ruff: noqa: DTZ001 - timestamps of a warehouse are in UTC and have no zone

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.snowflake import SnowflakeWarehouse, connect, is_one_query
from connectors.snowflake_types import canonical_type, normalised
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
from controlplane.ports import Statement
from tests.endpoints.snowflake import SnowflakeEndpoint

ENDLESS = (
    "SELECT SUM(a.s * b.s) AS total FROM (SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT => 1000000))) AS a, "
    "(SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT => 1000000))) AS b"
)
MANY = "SELECT SEQ4() AS n, 'row ' || SEQ4() AS words FROM TABLE(GENERATOR(ROWCOUNT => {}))"


@pytest.fixture
def endpoint() -> Iterator[SnowflakeEndpoint]:
    with SnowflakeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def warehouse(endpoint) -> Iterator[SnowflakeWarehouse]:
    warehouse = connect(**endpoint.options())
    yield warehouse
    warehouse.close()


def do(warehouse: SnowflakeWarehouse, *texts: str, **options) -> list[int]:
    return warehouse.execute([Statement(f"step {number}", text) for number, text in enumerate(texts, 1)], **options)


def rows(warehouse: SnowflakeWarehouse, sql: str) -> list[dict]:
    return [row for batch in warehouse.fetch(sql) for row in batch.to_pylist()]


# Statements


def test_rows_that_statements_changed(warehouse, endpoint):
    counts = do(
        warehouse,
        "CREATE TABLE t (k NUMBER, v VARCHAR)",
        "INSERT INTO t SELECT SEQ4(), '50%' FROM TABLE(GENERATOR(ROWCOUNT => 5))",
        "UPDATE t SET v = 'y' WHERE k > 2",
        "DELETE FROM t WHERE k = 99",
        "MERGE INTO t USING (SELECT 1 AS k UNION ALL SELECT 9) AS s ON t.k = s.k WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k)",
        "SELECT 1",
        tag="plane:shop/run",
    )
    assert counts == [-1, 5, 2, 0, 2, -1]
    assert {tag for _, tag in endpoint.history} == {"plane:shop/run"}
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t WHERE v LIKE '50\\\\%' ESCAPE '\\\\'") == [{"n": 2}]


def test_a_tag_is_no_longer_than_allowed(warehouse, endpoint):
    do(warehouse, "SELECT 1", tag="x" * 5000)
    assert len(endpoint.history[-1][1]) == 2000


def test_a_transaction_is_all_or_nothing(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    with pytest.raises(PermanentError) as raised:
        do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 1 / 0", atomic=True, tag="all")
    assert raised.value.message == "step 2: Division by zero"
    assert rows(warehouse, "SELECT * FROM t") == []
    assert do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True, tag="all") == [1, 1]
    assert rows(warehouse, "SELECT SUM(k) AS total FROM t") == [{"total": 3}]
    assert [text for text, tag in endpoint.history if tag == "all"] == [
        *("BEGIN", "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 1 / 0", "ROLLBACK"),
        *("BEGIN", "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", "COMMIT"),
    ]


def test_a_rollback_that_fails_ends_the_session(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.faults.fail("ROLLBACK", 603, "XX000", "internal error")
    with pytest.raises(PermanentError, match="Division by zero"):
        do(warehouse, "INSERT INTO t SELECT 1", "SELECT 1 / 0", atomic=True)
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t") == [{"n": 0}]


# Rows and types


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
    columns = ", ".join(f"{expression} AS c{number}" for number, (expression, *_) in enumerate(KINDS))
    nothing = ", ".join(
        f"NULLIF({expression}, {expression}) AS c{number}" for number, (expression, *_) in enumerate(KINDS)
    )
    sql = f"SELECT {columns} UNION ALL SELECT {nothing}"
    assert warehouse.describe(sql) == {f"c{number}": kind for number, (_, _, kind, _) in enumerate(KINDS)}
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
    kinds = ("BOOLEAN", "NUMBER", "NUMBER(12,2)", "FLOAT", "VARCHAR", "BINARY", "DATE", "TIMESTAMP_NTZ(6)", "OBJECT")
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate((*kinds, "ARRAY(FLOAT)", "TIMESTAMP_LTZ")))
    do(warehouse, "CREATE SCHEMA s", f'CREATE TABLE s.t ({columns}, "asIs" NUMBER, "low" NUMBER)')
    do(warehouse, "CREATE VIEW s.v AS SELECT c0, c2 / 4 AS quarter FROM s.t")
    names = ["s.t", '"S"."T"', "PLANE.s.v", "s.nothing", "nowhere.t"]
    found = warehouse.columns(names)
    assert list(found) == names
    of_t = "bool int64 decimal(12,2) float64 string binary date timestamp VARIANT array<float64> timestamp int64 int64"
    assert found["s.t"] == dict(zip([f"c{n}" for n in range(11)] + ["asIs", "low"], of_t.split(), strict=True))
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
    assert warehouse.describe("SELECT 1 AS x WHERE FALSE") == {"x": "int64"}


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
    # The account itself is in this process and holds the whole result once; the driver's parts come on top.
    assert most < whole * 2


def test_a_reader_may_stop_in_the_middle(warehouse):
    batches = warehouse.fetch(MANY.format(500_000))
    assert next(batches).num_rows
    batches.close()
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]


# Descriptions


def test_many_queries_are_described_as_each_alone(warehouse, endpoint):
    queries = [f"SELECT {number} AS n{number}" for number in range(40)]
    assert warehouse.describe_all(queries) == [{f"n{number}": "int64"} for number in range(40)]
    assert warehouse.describe_all([]) == []
    assert endpoint.history == []


def test_of_many_queries_each_has_its_own_error(warehouse):
    first, broken, last = warehouse.describe_all(["SELECT 1 AS x", "SELECT nope", "SELECT 'x' AS y"])
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
        warehouse.describe(text)
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


# Sessions


def test_it_says_where_it_is(warehouse, endpoint):
    assert warehouse.info() == {
        "product": "Snowflake 10.3.0",
        "place": "LOCAL at 127.0.0.1",
        "user": "PLANE",
        "role": "PLANE_ROLE",
        "warehouse": "COMPUTE",
        "database": "PLANE",
    }
    session = next(iter(endpoint.sessions.values()))
    expected = {
        "TIMEZONE": "UTC",
        "LOCK_TIMEOUT": 600,
        "STATEMENT_TIMEOUT_IN_SECONDS": 14_400,
        "CLIENT_TELEMETRY_ENABLED": False,
        "CLIENT_SESSION_KEEP_ALIVE": True,
        "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
        "AUTOCOMMIT": True,
    }
    assert {name: session.parameters[name] for name in expected} == expected


def test_ways_to_log_in(endpoint, tmp_path):
    who = {name: value for name, value in endpoint.options().items() if name != "token"}
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    endpoint.account.public_keys["PLANE"] = public.decode()
    locked = serialization.BestAvailableEncryption(b"open")
    for name, encryption in (("plain.p8", serialization.NoEncryption()), ("locked.p8", locked)):
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        (tmp_path / name).write_bytes(pem)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "token").chmod(0o600)
    ways: tuple[dict[str, Any], ...] = (
        {"token": "a-token"},
        {"token_file_path": str(tmp_path / "token")},
        {"token": "a-token", "authenticator": "oauth"},
        {"password": "open sesame"},
        {"private_key_file": str(tmp_path / "plain.p8")},
        {"private_key_file": str(tmp_path / "locked.p8"), "private_key_passphrase": "open"},
    )
    for way in ways:
        warehouse = connect(**who, **way)
        assert warehouse.info()["user"] == "PLANE"
        warehouse.close()


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"token": "wr0ng-token"}, "token is invalid", "what proves who you are"),
        ({"token": None, "password": "wr0ng-word"}, "Incorrect username or password", "what proves who you are"),
        ({"role": "nobody"}, "Role 'NOBODY'", "GRANT ROLE nobody"),
        ({"database": "nowhere"}, "database does not exist", "check"),
    ],
)
def test_a_login_that_fails(endpoint, wrong, message, hint):
    with pytest.raises(PermanentError) as raised:
        connect(**{**endpoint.options(), **wrong})
    assert message in raised.value.message
    assert raised.value.message.startswith("connecting to Snowflake: ")
    assert hint in raised.value.hint
    assert "wr0ng" not in str(raised.value)


def test_the_account_must_be_known():
    with pytest.raises(SettingsError, match="does not know the account"):
        connect(user="somebody")


def test_an_account_that_does_not_answer():
    with pytest.raises(TransientError) as raised:
        connect(account="local", user="PLANE", token="a-token", host="127.0.0.1", port=1, protocol="http")
    assert "network" in raised.value.hint


def test_options_say_what_they_are():
    documented = inspect.getdoc(connect) or ""
    assert all(f"    {name}: " in documented for name in inspect.signature(connect).parameters)


def test_a_session_that_ended_is_opened_anew(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.end_sessions()
    assert do(warehouse, "INSERT INTO t SELECT 1") == [1]
    endpoint.end_sessions()
    assert rows(warehouse, "SELECT k FROM t") == [{"k": 1}]
    endpoint.end_sessions()
    assert warehouse.describe("SELECT k FROM t") == {"k": "int64"}
    endpoint.end_sessions()
    assert do(warehouse, "INSERT INTO t SELECT 2", atomic=True) == [1]
    endpoint.faults.expire("SELECT SUM")
    assert rows(warehouse, "SELECT SUM(k) AS total FROM t") == [{"total": 3}]


def test_a_session_that_ends_within_a_transaction_takes_it_along(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.faults.end("SELECT 2")
    with pytest.raises(TransientError) as raised:
        do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True)
    assert "try again" in raised.value.hint
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t") == [{"n": 0}]
    assert do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True) == [1, 1]


# Answers that are lost


def test_an_answer_that_is_lost_is_asked_for_again(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.faults.drop("INSERT INTO t")
    assert do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True) == [1, 1]
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t") == [{"n": 2}]
    assert [text for text, _ in endpoint.history].count("INSERT INTO t SELECT 1") == 1


def test_a_server_that_is_away_for_a_moment(warehouse, endpoint):
    endpoint.faults.unavailable("SELECT 7")
    assert rows(warehouse, "SELECT 7 AS x") == [{"x": 7}]


@pytest.mark.parametrize("kept", [0, 10, 1000, 150_000])
def test_a_result_is_never_silently_short(warehouse, endpoint, kept):
    endpoint.faults.truncate("GENERATOR", kept)
    with pytest.raises(TransientError, match="reading"):
        rows(warehouse, MANY.format(150_500))


# Errors


ERRORS = [
    ((606, "57P03", "No active warehouse selected in the current session."), PermanentError, "ON WAREHOUSE COMPUTE TO"),
    ((90073, "22000", "Warehouse 'COMPUTE' cannot be resumed because resource monitor 'M' has exceeded its quota."),
     PermanentError, "resource monitor"),
    ((3001, "42501", "SQL access control error:\nInsufficient privileges to operate on schema 'S'"), PermanentError,
     "role PLANE_ROLE has no right to do this: GRANT USAGE, CREATE TABLE, CREATE VIEW ON SCHEMA S TO ROLE PLANE_ROLE"),
    ((3001, "42501", "SQL access control error:\nInsufficient privileges to operate on table 'T'"), PermanentError,
     "GRANT ALL ON TABLE T TO ROLE PLANE_ROLE"),
    ((2003, "02000", "SQL compilation error:\nObject 'S.T' does not exist or not authorized."), PermanentError,
     "GRANT SELECT ON TABLE S.T TO ROLE PLANE_ROLE"),
    ((904, "42000", "SQL compilation error: error line 1 at position 7\ninvalid identifier 'X'"), PermanentError,
     "in capitals"),
    ((625, "57014", "Statement waited for a lock"), TransientError, "try again"),
    ((630, "57014", "Statement reached its statement or warehouse timeout of 14400 second(s) and was canceled."),
     PermanentError, "raise `query_timeout` (now 14400 s), or compute shorter intervals"),
    ((604, "57014", "SQL execution canceled"), PermanentError, "somebody stopped"),
    ((603, "XX000", "SQL execution internal error: Processing aborted by error 300010"), TransientError, "try again"),
    ((100038, "22018", "Numeric value 'x' is not recognized"), PermanentError, ""),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "hint"), ERRORS)
def test_an_error_says_what_to_do(warehouse, endpoint, given, kind, hint):
    endpoint.faults.fail("SELECT 99", *given)
    with pytest.raises(PlaneError) as raised:
        do(warehouse, "SELECT 99")
    error = raised.value
    assert type(error) is kind or (kind is PermanentError and isinstance(error, kind))
    assert hint in error.hint
    assert error.message.startswith("step 1: ")
    assert "\n" not in error.message
    assert error.__cause__ is None


def test_an_error_in_a_stream_names_what_failed(warehouse):
    with pytest.raises(PermanentError) as raised:
        rows(warehouse, "SELECT * FROM missing.t")
    assert raised.value.message.startswith("reading: Object 'MISSING.T' does not exist")


def test_a_statement_that_takes_too_long(endpoint):
    warehouse = connect(**endpoint.options(), query_timeout=1)
    with pytest.raises(PermanentError) as raised:
        do(warehouse, ENDLESS)
    assert "raise `query_timeout` (now 1 s)" in raised.value.hint
    warehouse.close()


# Cancelling


@pytest.mark.parametrize(
    "work",
    [
        lambda warehouse: do(warehouse, f"CREATE TABLE total AS {ENDLESS}", atomic=True),
        lambda warehouse: list(warehouse.fetch(ENDLESS)),
    ],
)
def test_what_runs_can_be_cancelled_from_another_thread(warehouse, endpoint, work):
    timer = threading.Timer(0.3, warehouse.cancel)
    timer.start()
    with pytest.raises(PermanentError) as raised:
        work(warehouse)
    timer.join()
    assert raised.value.message.endswith(": cancelled")
    assert warehouse.columns(["total"]) == {"total": None}
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]
    assert all(query.done.is_set() for query in endpoint.account.history)


def test_a_cancelled_transaction_goes_no_further(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.faults.slow("SELECT 1", 30)
    timer = threading.Timer(0.3, warehouse.cancel)
    timer.start()
    with pytest.raises(PermanentError, match="step 1: cancelled"):
        do(warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True)
    timer.join()
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t") == [{"n": 0}]


def test_a_stream_can_be_cancelled(warehouse):
    batches = warehouse.fetch(MANY.format(500_000))
    next(batches)
    warehouse.cancel()
    with pytest.raises(PermanentError, match="cancelled"):
        list(batches)


def test_cancelling_nothing_does_nothing(warehouse):
    warehouse.cancel()
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]


def test_two_writers_of_one_row(warehouse, endpoint):
    do(warehouse, "CREATE TABLE head AS SELECT 0 AS version, 'nobody' AS who")
    other = connect(**endpoint.options())
    failures: list[BaseException] = []

    def publish(session: SnowflakeWarehouse, who: str) -> None:
        try:
            for _ in range(5):
                do(session, "UPDATE head SET version = version + 1", f"UPDATE head SET who = '{who}'", atomic=True)
        except PlaneError as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=pair) for pair in ((warehouse, "a"), (other, "b"))]
    before = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(warehouse, "SELECT version FROM head") == [{"version": 10}]
    assert time.monotonic() - before < 20
    other.close()
