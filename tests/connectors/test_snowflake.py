"""The Snowflake connector, over the vendor's driver and a local account: transactions, lost
answers, errors, cancelling."""

from __future__ import annotations

import json
import threading
import time

import pytest

from connectors.snowflake.signin import connect
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.base.ports import Estimate, Statement
from controlplane.errors import PermanentError, PlaneError, TransientError
from tests.connectors.snowflake_rig import MANY, do, endpoint, rows, warehouse

__all__ = ["endpoint", "warehouse"]

ENDLESS = (
    "SELECT SUM(a.s * b.s) AS total FROM (SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT =>"
    " 1000000))) AS a, (SELECT SEQ4() AS s FROM TABLE(GENERATOR(ROWCOUNT => 1000000))) AS b"
)


# Statements


def test_rows_that_statements_changed(warehouse, endpoint):
    counts = do(
        warehouse,
        "CREATE TABLE t (k NUMBER, v VARCHAR)",
        "INSERT INTO t SELECT SEQ4(), '50%' FROM TABLE(GENERATOR(ROWCOUNT => 5))",
        "UPDATE t SET v = 'y' WHERE k > 2",
        "DELETE FROM t WHERE k = 99",
        "MERGE INTO t USING (SELECT 1 AS k UNION ALL SELECT 9) AS s ON t.k = s.k WHEN MATCHED THEN"
        " DELETE WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k)",
        "SELECT 1",
        tag="plane:shop/run",
    )
    assert counts == [-1, 5, 2, 0, 2, -1]
    tags = [json.loads(tag) for _, tag in endpoint.history]
    work = {"application": "controlplane", "work": "plane:shop/run"}
    assert tags == [work | {"statement": f"step {number}"} for number in range(1, 7)]
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t WHERE v LIKE '50\\\\%' ESCAPE '\\\\'") == [
        {"n": 2}
    ]


def test_a_tag_is_no_longer_than_allowed(warehouse, endpoint):
    do(warehouse, "SELECT 1", tag='"' * 5000)
    text = endpoint.history[-1][1]
    assert 1000 < len(text) <= 2000
    assert json.loads(text)["statement"] == "step 1"


def test_a_session_s_own_tags_are_on_whatever_it_runs(endpoint):
    warehouse = connect(**endpoint.options(), query_tags={"view": "trips", "run": "it's"})
    warehouse.columns(["t"])
    do(warehouse, "SELECT 1", tag="all")
    warehouse.close()
    for text, tag in endpoint.history:
        assert {"view": "trips", "run": "it's"}.items() <= json.loads(tag).items(), text


def test_columns_of_many_tables_take_few_statements(warehouse, endpoint):
    kinds = (
        'k NUMBER(38,0), v VARCHAR, "small" FLOAT, d NUMBER(10,2), a ARRAY(NUMBER(38,0)), at'
        " TIMESTAMP_NTZ(6)"
    )
    names = [f"t{number}" for number in range(25)]
    do(warehouse, *[f"CREATE TABLE {name} ({kinds})" for name in names[:-1]])
    do(warehouse, "CREATE VIEW t24 AS SELECT k, v FROM t0")
    alone = {name: warehouse.columns([name])[name] for name in names}
    before = len(endpoint.history)
    assert warehouse.columns(names) == alone
    assert len(endpoint.history) - before <= 3
    assert list(alone["t0"] or {}) == ["k", "v", '"small"', "d", "a", "at"]
    do(warehouse, "DROP TABLE t3")
    assert warehouse.columns(names) == alone | {"t3": None}
    assert warehouse.columns([*names[:2], *names[:2]]) == {name: alone[name] for name in names[:2]}


def test_a_transaction_is_all_or_nothing(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    with pytest.raises(PermanentError) as raised:
        do(
            warehouse,
            "INSERT INTO t SELECT 1",
            "INSERT INTO t SELECT 1 / 0",
            atomic=True,
            tag="all",
        )
    assert raised.value.message == "step 2: Division by zero"
    assert rows(warehouse, "SELECT * FROM t") == []
    assert do(
        warehouse, "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", atomic=True, tag="all"
    ) == [1, 1]
    assert rows(warehouse, "SELECT SUM(k) AS total FROM t") == [{"total": 3}]
    assert [text for text, tag in endpoint.history if '"work": "all"' in tag] == [
        *("BEGIN", "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 1 / 0", "ROLLBACK"),
        *("BEGIN", "INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2", "COMMIT"),
    ]


def test_a_rollback_that_fails_ends_the_session(warehouse, endpoint):
    do(warehouse, "CREATE TABLE t (k NUMBER)")
    endpoint.faults.fail("ROLLBACK", 603, "XX000", "internal error")
    with pytest.raises(PermanentError, match="Division by zero"):
        do(warehouse, "INSERT INTO t SELECT 1", "SELECT 1 / 0", atomic=True)
    assert rows(warehouse, "SELECT COUNT(*) AS n FROM t") == [{"n": 0}]


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
                do(
                    session,
                    "UPDATE head SET version = version + 1",
                    f"UPDATE head SET who = '{who}'",
                    atomic=True,
                )
        except PlaneError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=publish, args=pair) for pair in ((warehouse, "a"), (other, "b"))
    ]
    before = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows(warehouse, "SELECT version FROM head") == [{"version": 10}]
    assert time.monotonic() - before < 20
    other.close()


def test_what_a_query_would_read_is_estimated(warehouse):
    do(warehouse, "CREATE TABLE t (k NUMBER, x FLOAT)", "INSERT INTO t SELECT 1, 2")
    whole, missing = warehouse.explain(["SELECT * FROM t", "SELECT * FROM nowhere"])
    assert whole == Estimate(read_bytes=16)
    assert isinstance(missing, PermanentError)
    assert missing.message.startswith("Object 'NOWHERE' does not exist")


@pytest.mark.parametrize("atomic", [True, False])
def test_a_statement_that_changes_nothing_may_decide_that_no_other_runs(warehouse, atomic):
    warehouse.execute([Statement("make", "CREATE TABLE decided (x NUMBER)")])
    for take, expected in (
        ("DELETE FROM decided WHERE x = 0", [0]),
        ("INSERT INTO decided SELECT 0", [1, 1]),
    ):
        first = Statement("take", take, decides=True)
        rest = Statement("go on", "INSERT INTO decided SELECT 1")
        assert warehouse.execute([first, rest], atomic=atomic) == expected


def test_a_batch_that_stops_at_its_decision_leaves_nothing(warehouse):
    make = Statement("make", "CREATE OR REPLACE TABLE undone (x INTEGER)")
    warehouse.execute([make])
    begun = Statement("begin", "INSERT INTO undone SELECT 1")
    decided = Statement("take", "DELETE FROM undone WHERE x = 0", decides=True)
    assert warehouse.execute([begun, decided, begun], atomic=True) == [1, 0]
    assert warehouse.execute([Statement("count", "DELETE FROM undone")]) == [0]
