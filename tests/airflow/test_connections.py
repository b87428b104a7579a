"""Connections as teams have them for Airflow's own providers: what opens our connectors, and what
is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from controlplane.airflow.connections import options_of
from controlplane.airflow.hooks import OnlineStoreHook, open_store
from controlplane.embedded import airflow
from controlplane.errors import PermanentError, SettingsError, TransientError
from controlplane.workspace import connectors

# Airflow's own, and what it imports.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SECRET = "s3cret-of-the-team"


def read(kind: str, extra: dict[str, Any], **fields: Any) -> tuple[dict[str, Any], list[str]]:
    connection = Connection(conn_id="team", conn_type=kind, extra=json.dumps(extra), **fields)
    return options_of(connection, connectors.option_names(kind))


@pytest.mark.parametrize(
    ("fields", "extra", "options"),
    [
        (
            {"login": "me", "password": SECRET, "schema": "PUBLIC"},
            {
                "account": "org-a",
                "warehouse": "W",
                "database": "D",
                "role": "R",
                "region": "",
                "insecure_mode": False,
            },
            {
                "account": "org-a",
                "warehouse": "W",
                "database": "D",
                "role": "R",
                "user": "me",
                "password": SECRET,
            },
        ),
        (
            {"login": "me", "password": SECRET},
            {
                "extra__snowflake__account": "a",
                "account": "b",
                "region": "eu",
                "private_key_content": "k",
            },
            {"account": "b.eu", "user": "me", "private_key": "k", "private_key_passphrase": SECRET},
        ),
        (
            {"login": "me", "password": SECRET},
            {
                "extra__snowflake__account": "a",
                "authenticator": "programmatic_access_token",
                "port": "443",
            },
            {
                "account": "a",
                "user": "me",
                "token": SECRET,
                "authenticator": "programmatic_access_token",
                "port": 443,
            },
        ),
        (
            {"login": "id", "password": SECRET},
            {
                "account": "a",
                "authenticator": "oauth",
                "grant_type": "client_credentials",
                "token_endpoint": "https://idp.example.com/token",
                "scope": "all",
            },
            {
                "account": "a",
                "oauth_client_id": "id",
                "oauth_client_secret": SECRET,
                "oauth_scope": "all",
                "oauth_token_request_url": "https://idp.example.com/token",
            },
        ),
        (
            {"login": "me"},
            {"account": "a", "authenticator": "snowflake", "private_key_file": "k.p8"},
            {"account": "a", "user": "me", "private_key_file": "k.p8"},
        ),
    ],
)
def test_snowflake(fields, extra, options):
    assert read("snowflake", extra, **fields) == (options, [])


@pytest.mark.parametrize(
    ("fields", "extra", "options"),
    [
        (
            {"host": "https://dbc.example.com/", "password": SECRET},
            {"http_path": "/sql/1", "catalog": "main"},
            {
                "server_hostname": "dbc.example.com",
                "http_path": "/sql/1",
                "catalog": "main",
                "access_token": SECRET,
            },
        ),
        (
            {"login": "token", "password": "not this one"},
            {
                "host": "dbc.example.com",
                "http_path": "/sql/1",
                "token": SECRET,
                "query_timeout": "60",
            },
            {
                "server_hostname": "dbc.example.com",
                "http_path": "/sql/1",
                "access_token": SECRET,
                "query_timeout": 60,
            },
        ),
        (
            {"host": "dbc.example.com", "login": "id", "password": SECRET},
            {"http_path": "/sql/1", "service_principal_oauth": True},
            {
                "server_hostname": "dbc.example.com",
                "http_path": "/sql/1",
                "client_id": "id",
                "client_secret": SECRET,
            },
        ),
        (
            {"host": "127.0.0.1", "port": 8080, "schema": "http", "password": SECRET},
            {"http_path": "/sql/1"},
            {
                "server_hostname": "127.0.0.1",
                "http_path": "/sql/1",
                "access_token": SECRET,
                "url": "http://127.0.0.1:8080/sql/1",
            },
        ),
    ],
)
def test_databricks(fields, extra, options):
    assert read("databricks", extra, **fields) == (options, [])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (
            "snowflake",
            {
                "account": "a",
                "user": "me",
                "password": SECRET,
                "port": 80,
                "query_tags": {"team": "x"},
            },
        ),
        (
            "snowflake",
            {
                "account": "a",
                "user": "me",
                "private_key_file": "k",
                "private_key_passphrase": SECRET,
            },
        ),
        (
            "databricks",
            {
                "server_hostname": "h",
                "http_path": "/p",
                "access_token": SECRET,
                "url": "http://h:1/p",
            },
        ),
        (
            "databricks",
            {"server_hostname": "h", "http_path": "/p", "client_id": "i", "client_secret": SECRET},
        ),
    ],
)
def test_a_connection_made_of_our_own_options_means_them(kind, options):
    made = json.loads(airflow.connection(kind, options))
    assert made.pop("conn_type") == kind
    assert read(kind, made.pop("extra"), **made) == (options, [])


@pytest.mark.parametrize(
    ("kind", "fields", "extra", "problems"),
    [
        ("snowflake", {}, {}, ["no account", "no credentials", "no user"]),
        (
            "snowflake",
            {"password": SECRET},
            {
                "port": SECRET,
                "private_key_file": SECRET,
                "private_key_content": SECRET,
                "proxy_host": SECRET,
            },
            [
                "no account",
                "two private keys",
                "no user",
                "port is not a number",
                "proxy_host is not supported",
            ],
        ),
        (
            "snowflake",
            {"login": "id", "password": SECRET},
            {"account": "a", "authenticator": "oauth", "refresh_token": SECRET},
            ["refresh_token is not supported"],
        ),
        ("databricks", {}, {}, ["no host", "no http_path", "no credentials"]),
        (
            "databricks",
            {"host": "dbc.example.com", "login": "id", "password": SECRET},
            {"azure_tenant_id": SECRET},
            ["azure_tenant_id is not supported", "no http_path"],
        ),
        (
            "databricks",
            {"host": "h", "login": "id", "password": SECRET},
            {"http_path": "p"},
            ["no credentials"],
        ),
    ],
)
def test_all_that_is_wrong_is_told_at_once_and_no_value(kind, fields, extra, problems):
    with pytest.raises(PermanentError) as raised:
        read(kind, extra, **fields)
    assert raised.value.message.startswith("connection 'team' can't be used: ")
    assert raised.value.message.count(";") == len(problems) - 1
    for problem in problems:
        assert problem in raised.value.message
    assert raised.value.hint
    assert SECRET not in str(raised.value)


def test_what_is_not_used_is_named():
    extra = {"account": "a", "session_parameters": {"QUERY_TAG": "x"}, "acount": "b"}
    assert read("snowflake", extra, login="me", password=SECRET)[1] == [
        "acount",
        "session_parameters",
    ]


def test_c3_and_b2_a_stores_credentials_are_those_of_the_connection(monkeypatch):
    """Cases B2 and C3: what `plane airflow up` makes of `online`, as a task reads it back."""
    options = {
        "url": "redis://features/1",
        "password": SECRET,
        "sentinels": ["127.0.0.1:1"],
        "sentinel_username": "watcher",
        "sentinel_password": f"{SECRET}-of-sentinels",
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORE", airflow.connection("plane_redis", options))
    store: Any = OnlineStoreHook("store").get_conn()
    with pytest.raises(TransientError, match=r"sentinel 127\.0\.0\.1:1: ") as caught:
        store.read([b"k"])
    assert SECRET not in str(caught.value)
    pool = store._servers._client.connection_pool
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == (SECRET, 1)
    [asked] = pool.sentinel_manager.sentinels
    found = asked.connection_pool.connection_kwargs
    assert (found["username"], found["password"]) == ("watcher", f"{SECRET}-of-sentinels")
    store.close()


@pytest.mark.parametrize(
    ("fields", "told", "remedy"),
    [
        ({"schema": "shop"}, "names a database that is not a number", "redis://host:6379/0"),
        (
            {"host": "h?decode_responses=True"},
            "has the option 'decode_responses'",
            "the settings of `online` are: url, ",
        ),
        (
            {"extra": {"decode_responses": True}},
            "unexpected keyword argument 'decode_responses'",
            "url, username, ",
        ),
        (
            {"extra": {"ssl": True, "ssl_cert_reqs": "none"}},
            "keyword argument 'ssl_cert_reqs'",
            "url, username, ",
        ),
    ],
)
def test_b1_an_online_connection_with_unknown_options_is_refused(monkeypatch, fields, told, remedy):
    connection = {
        "conn_type": "plane_redis",
        "host": "127.0.0.1",
        "port": 1,
        "password": SECRET,
        **fields,
    }
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_ONLINE", json.dumps(connection))
    with pytest.raises(SettingsError) as raised:
        open_store("shop_online")
    assert told in raised.value.message
    assert remedy in raised.value.hint
    assert SECRET not in str(raised.value)
