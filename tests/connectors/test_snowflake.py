"""The Snowflake connector, over the vendor's driver and a local account: transactions, logins, lost
answers, errors."""

from __future__ import annotations

import base64
import inspect
import json
import threading
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.snowflake.signin import connect
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.base.ports import Estimate, described
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
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


# Sessions


def test_it_says_where_it_is(warehouse, endpoint):
    assert warehouse.info() == {
        "product": "Snowflake 10.3.0",
        "place": "LOCAL at 127.0.0.1",
        "user": "PLANE",
        "role": "PLANE_ROLE",
        "warehouse": "COMPUTE",
        "database": "PLANE",
        "state": "STARTED",
        "resumes": "true",
    }
    session = next(iter(endpoint.sessions.values()))
    expected = {
        "TIMEZONE": "UTC",
        "WEEK_START": 0,
        "WEEK_OF_YEAR_POLICY": 0,
        "DATE_INPUT_FORMAT": "AUTO",
        "DATE_OUTPUT_FORMAT": "YYYY-MM-DD",
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
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    endpoint.account.public_keys["PLANE"] = public.decode()
    locked = serialization.BestAvailableEncryption(b"open")
    for name, encryption in (("plain.p8", serialization.NoEncryption()), ("locked.p8", locked)):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
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
        {"private_key": (tmp_path / "locked.p8").read_text(), "private_key_passphrase": "open"},
        {"private_key": base64.b64encode((tmp_path / "plain.p8").read_bytes()).decode()},
    )
    for way in ways:
        warehouse = connect(**who, **way)
        assert warehouse.info()["user"] == "PLANE"
        warehouse.close()
    for broken, message in (
        (
            {"private_key_file": str(tmp_path / "locked.p8"), "private_key_passphrase": "0pen"},
            "passphrase is wrong",
        ),
        ({"private_key": "no key"}, "not a valid private key"),
        ({"private_key_file": str(tmp_path / "gone.p8")}, "No such file"),
    ):
        with pytest.raises(SettingsError, match=message):
            connect(**{**who, **broken})


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"token": "wr0ng-token"}, "token is invalid", "the credentials: a key"),
        (
            {"token": None, "password": "wr0ng-word"},
            "Incorrect username or password",
            "the credentials: a key",
        ),
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
    with pytest.raises(SettingsError, match="no account is set"):
        connect(user="somebody")


def test_an_account_that_does_not_answer():
    with pytest.raises(TransientError) as raised:
        connect(
            account="local",
            user="PLANE",
            token="a-token",
            host="127.0.0.1",
            port=1,
            protocol="http",
        )
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
    assert described(warehouse, "SELECT k FROM t") == {"k": "int64"}
    endpoint.end_sessions()
    assert do(warehouse, "INSERT INTO t SELECT 2", atomic=True) == [1]
    endpoint.faults.lapse("INSERT INTO t SELECT 3")
    assert do(warehouse, "INSERT INTO t SELECT 3") == [1]
    endpoint.faults.expire("SELECT SUM")
    assert rows(warehouse, "SELECT SUM(k) AS total FROM t") == [{"total": 6}]


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
