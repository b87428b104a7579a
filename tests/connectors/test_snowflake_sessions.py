"""Sessions of the Snowflake connector: ways to log in, and how a session that ended is replaced."""

from __future__ import annotations

import base64
import inspect
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.snowflake.signin import connect
from controlplane.base.ports import described
from controlplane.errors import PermanentError, SettingsError, TransientError
from tests.connectors.snowflake_rig import do, endpoint, rows, warehouse

__all__ = ["endpoint", "warehouse"]


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
