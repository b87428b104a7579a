"""The local Snowflake account as the vendor's driver sees it: names, changes of rows, transactions,
locks, errors."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import snowflake.connector
from snowflake.connector import errors

from tests.endpoints.snowflake import SnowflakeEndpoint


@pytest.fixture
def endpoint() -> Iterator[SnowflakeEndpoint]:
    with SnowflakeEndpoint() as endpoint:
        yield endpoint


def log_in(endpoint: SnowflakeEndpoint, **options):
    given = {
        **endpoint.options(),
        "authenticator": "PROGRAMMATIC_ACCESS_TOKEN",
        "login_timeout": 10,
        **options,
    }
    parameters = {"TIMEZONE": "UTC", **given.pop("session_parameters", {})}
    return snowflake.connector.connect(**given, session_parameters=parameters)


@pytest.fixture
def one(endpoint):
    connection = log_in(endpoint)
    yield connection
    connection.close()


@pytest.fixture
def two(endpoint):
    connection = log_in(endpoint)
    yield connection
    connection.close()


def run(connection, *statements: str):
    """The rows of the last one."""
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    return cursor.fetchall()


def refusal(connection, statement: str) -> tuple[int, str | None]:
    with pytest.raises(errors.Error) as raised:
        run(connection, statement)
    return raised.value.errno, raised.value.sqlstate


def test_names_are_exact(one):
    run(
        one,
        'CREATE TABLE t (a NUMBER, "a" NUMBER, "Ab" NUMBER)',
        'INSERT INTO t (A, "a", "Ab") SELECT 1, 2, 3',
    )
    cursor = one.cursor().execute(
        'SELECT a, "a", "Ab", a + 1, "a" AS "x y", COUNT(*) OVER () AS c FROM T'
    )
    assert [column.name for column in cursor.description] == ["A", "a", "Ab", "A + 1", "x y", "C"]
    assert cursor.fetchall() == [(1, 2, 3, 2, 2, 1)]
    run(one, 'CREATE TABLE "t" (b NUMBER)', 'INSERT INTO "t" SELECT 7')
    assert run(one, 'SELECT b FROM "t"') == [(7,)]
    assert refusal(one, 'SELECT "A", "b" FROM t') == (904, "42000")


def test_changes_tell_how_many_rows(one):
    run(one, "CREATE TABLE t (k NUMBER, v VARCHAR)")
    assert run(one, "INSERT INTO t SELECT SEQ4(), 'x' FROM TABLE(GENERATOR(ROWCOUNT => 5))") == [
        (5,)
    ]
    assert run(one, "UPDATE t AS x SET x.v = 'y' WHERE x.k > 2") == [(2, 0)]
    assert run(
        one, "UPDATE t AS x SET v = s.v FROM (SELECT 1 AS k, 'z' AS v) AS s WHERE x.k = s.k"
    ) == [(1, 0)]
    assert run(one, "DELETE FROM t AS x USING (SELECT 0 AS k) AS s WHERE x.k = s.k") == [(1,)]
    assert run(one, "DELETE FROM t AS x WHERE x.k = 99") == [(0,)]
    merge = (
        "MERGE INTO t USING (SELECT 1 AS k, 'm' AS v UNION ALL SELECT 2, 'd' UNION ALL SELECT 9,"
        " 'n') AS s ON t.k = s.k WHEN MATCHED AND s.v = 'd' THEN DELETE WHEN MATCHED THEN UPDATE"
        " SET t.v = s.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"
    )
    assert run(one, merge) == [(1, 1, 1)]
    assert run(one, "SELECT k, v FROM t ORDER BY k") == [(1, "m"), (3, "y"), (4, "y"), (9, "n")]
    cursor = one.cursor().execute(
        "INSERT INTO t WITH more AS (SELECT 10 AS k) SELECT k, 'w' FROM more"
    )
    assert (cursor.rowcount, cursor.stats.num_rows_inserted) == (1, 1)


def test_tables_change_shape(one):
    run(
        one,
        "CREATE TABLE t (k NUMBER(5,0) NOT NULL, s VARCHAR(3))",
        "ALTER TABLE t ADD COLUMN x ARRAY(FLOAT), y OBJECT",
    )
    run(one, "ALTER TABLE t ADD COLUMN IF NOT EXISTS x FLOAT", "ALTER TABLE t DROP COLUMN y")
    described = [(name, kind, null) for name, kind, _, null in run(one, "DESCRIBE TABLE t")]
    assert described == [
        ("K", "NUMBER(5,0)", "N"),
        ("S", "VARCHAR(16777216)", "Y"),
        ("X", "ARRAY(FLOAT)", "Y"),
    ]
    assert refusal(one, "INSERT INTO t (k, s) SELECT 1, 'four'") == (100078, "22000")
    assert refusal(one, "INSERT INTO t (k) SELECT 123456") == (100132, "22003")
    assert run(one, "CREATE TABLE IF NOT EXISTS t (z NUMBER)") == [
        ("T already exists, statement succeeded.",)
    ]
    run(
        one,
        "CREATE OR REPLACE VIEW v AS SELECT k FROM t",
        "DROP VIEW IF EXISTS v",
        "DROP VIEW IF EXISTS v",
        "DROP TABLE t",
    )
    assert refusal(one, "SELECT * FROM t") == (2003, "42S02")


def test_what_is_not_enforced_is_recorded(one, endpoint):
    run(
        one, "CREATE TRANSIENT TABLE t (k NUMBER COMMENT 'the key') CLUSTER BY (k) COMMENT = 'rows'"
    )
    run(
        one,
        "GRANT SELECT ON TABLE t TO ROLE readers",
        "COMMENT ON TABLE t IS 'more'",
        "ALTER TABLE t SET TAG owner = 'us'",
    )
    assert any("the key" in text for text in endpoint.recorded)
    assert "GRANT SELECT ON TABLE t TO ROLE readers" in endpoint.recorded
    assert any(text.startswith("COMMENT ON TABLE") for text in endpoint.recorded)
    assert any("TAG" in text for text in endpoint.recorded)


def test_a_definition_commits(one, two):
    run(one, "CREATE TABLE t (k NUMBER)", "BEGIN", "INSERT INTO t SELECT 1")
    assert run(two, "SELECT COUNT(*) FROM t") == [(0,)]
    run(one, "CREATE TABLE u (k NUMBER)", "INSERT INTO t SELECT 2", "ROLLBACK")
    assert run(two, "SELECT COUNT(*) FROM t") == [(2,)]


def test_an_error_leaves_the_transaction_open(one, two):
    run(one, "CREATE TABLE t (k NUMBER)", "BEGIN", "INSERT INTO t SELECT 1")
    assert refusal(one, "INSERT INTO t SELECT 1 / 0") == (100051, "22012")
    assert run(one, "SELECT COUNT(*) FROM t") == [(1,)]
    run(one, "COMMIT")
    assert run(two, "SELECT COUNT(*) FROM t") == [(1,)]


def test_each_statement_sees_what_was_committed(one, two):
    run(one, "CREATE TABLE t (k NUMBER)", "BEGIN")
    assert run(one, "SELECT COUNT(*) FROM t") == [(0,)]
    run(two, "INSERT INTO t SELECT 1")
    assert run(one, "SELECT COUNT(*) FROM t") == [(1,)]
    run(one, "COMMIT")


@pytest.mark.parametrize("earlier", [[], ["INSERT INTO u SELECT 1"]])
def test_the_second_writer_waits_for_the_first(one, two, earlier):
    run(one, "CREATE TABLE t AS SELECT 1 AS k, 0 AS v", "CREATE TABLE u (k NUMBER)")
    run(two, "BEGIN", *earlier)
    run(one, "BEGIN", "UPDATE t SET v = v + 1")
    done = threading.Event()

    def second() -> None:
        run(two, "UPDATE t SET v = v + 1", "COMMIT")
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not done.wait(0.3)
    run(one, "COMMIT")
    thread.join(10)
    assert run(one, "SELECT v FROM t") == [(2,)]
    assert run(one, "SELECT COUNT(*) FROM u") == [(len(earlier),)]


def test_writers_of_other_tables_do_not_wait(one, two):
    run(
        one,
        "CREATE TABLE t AS SELECT 1 AS k",
        "CREATE TABLE u AS SELECT 1 AS k",
        "BEGIN",
        "UPDATE t SET k = 2",
    )
    assert run(two, "UPDATE u SET k = 2") == [(1, 0)]
    assert run(two, "INSERT INTO t SELECT 5") == [(1,)]
    run(one, "COMMIT")
    assert run(two, "SELECT k FROM t ORDER BY k") == [(2,), (5,)]


def test_a_lock_is_waited_for_no_longer_than_allowed(endpoint, one):
    run(one, "CREATE TABLE t AS SELECT 1 AS k", "BEGIN", "UPDATE t SET k = 2")
    impatient = log_in(endpoint, session_parameters={"LOCK_TIMEOUT": 1})
    assert refusal(impatient, "DELETE FROM t") == (625, "57014")
    impatient.close()
    run(one, "ROLLBACK")


def test_a_statement_runs_no_longer_than_allowed(endpoint):
    hurried = log_in(endpoint, session_parameters={"STATEMENT_TIMEOUT_IN_SECONDS": 1})
    endless = (
        "SELECT SUM(a.s * b.s) FROM (SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT => 1000000)))"
        " AS a, "
    )
    endless += "(SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT => 1000000))) AS b"
    assert refusal(hurried, endless) == (630, "57014")
    assert run(hurried, "SELECT 1") == [(1,)]
    hurried.close()


def test_a_log_out_undoes_what_was_not_committed(endpoint, one):
    run(one, "CREATE TABLE t (k NUMBER)")
    other = log_in(endpoint)
    run(other, "BEGIN", "INSERT INTO t SELECT 1", "UPDATE t SET k = 2")
    other.close()
    assert run(one, "SELECT COUNT(*) FROM t") == [(0,)]
    assert run(one, "UPDATE t SET k = 3") == [(0, 0)]


@pytest.mark.parametrize(
    ("statement", "number", "state"),
    [
        ("SELECT * FROM nope", 2003, "42S02"),
        ("SELECT nope", 904, "42000"),
        ("SELECT nope(1)", 2140, "42601"),
        ("selec 1", 1003, "42000"),
        ("SELECT 'x'::NUMBER", 100038, "22018"),
        ("SELECT 'x'::DATE", 100040, "22007"),
        ("SHOW TABLES", 2, "0A000"),
        ("USE WAREHOUSE nope", 2043, "02000"),
    ],
)
def test_errors_have_their_numbers(one, statement, number, state):
    assert refusal(one, statement) == (number, state)


def test_without_a_warehouse_nothing_is_computed(endpoint):
    bare = log_in(endpoint, warehouse="NOWHERE")
    run(bare, "CREATE TABLE t (k NUMBER)")
    assert refusal(bare, "SELECT k + 1 FROM t") == (606, "57P03")
    run(bare, "USE WAREHOUSE compute")
    assert run(bare, "SELECT COUNT(*) FROM t") == [(0,)]
    bare.close()


def test_tags_are_kept_with_the_queries(one, endpoint):
    one.cursor().execute("SELECT 1", _statement_params={"QUERY_TAG": "mine"})
    run(one, "ALTER SESSION SET QUERY_TAG = 'ours'", "SELECT 2")
    assert [entry for entry in endpoint.history if "SELECT" in entry[0]] == [
        ("SELECT 1", "mine"),
        ("SELECT 2", "ours"),
    ]


def test_explain_runs_nothing(one):
    [(step, operation), *_] = run(one, "EXPLAIN USING TEXT SELECT 1 AS x")
    assert (step, bool(operation)) == ("1", True)


def test_a_file_outlives_the_endpoint(tmp_path):
    path = str(tmp_path / "account.duckdb")
    with SnowflakeEndpoint(path) as endpoint:
        connection = log_in(endpoint)
        run(
            connection,
            'CREATE TABLE "kept" ("a" NUMBER, B NUMBER)',
            'INSERT INTO "kept" SELECT 1, 2',
        )
        run(connection, 'CREATE VIEW v AS SELECT "a" / B AS half FROM "kept"')
        connection.close()
    with SnowflakeEndpoint(path) as endpoint:
        connection = log_in(endpoint)
        assert [float(half) for (half,) in run(connection, "SELECT half FROM v")] == [0.5]
        connection.close()


def test_it_is_a_process_too():
    command = [
        sys.executable,
        "-m",
        "tests.endpoints.snowflake",
        "--port",
        "0",
        "--database",
        ":memory:",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            who = {
                "account": "local",
                "user": "PLANE",
                "password": "open sesame",
                "warehouse": "COMPUTE",
            }
            with snowflake.connector.connect(
                **who,
                host="127.0.0.1",
                port=port,
                protocol="http",
                session_parameters={"TIMEZONE": "UTC"},
            ) as connection:
                before = time.monotonic()
                assert run(connection, "SELECT CURRENT_USER()") == [("PLANE",)]
                assert time.monotonic() - before < 5
        finally:
            process.terminate()
