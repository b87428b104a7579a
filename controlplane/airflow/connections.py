"""Airflow's connections of the types `snowflake` and `databricks` as options of our own connectors.

The fields are read as Airflow's providers for the two read them, so that a connection that a team
has works here too; the providers themselves are not needed. An extra may also hold our connectors'
own options, by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection

from controlplane.errors import PermanentError

_NUMBERS = ("port", "query_timeout")
_OAUTH_ELSEWHERE = ("azure_conn_id", "refresh_token")
_PROXY = ("proxy_host", "proxy_port", "proxy_user", "proxy_password")
_AZURE = (
    "azure_tenant_id",
    "use_azure_managed_identity",
    "use_default_azure_credential",
    "federated_k8s",
)
_PROVE_ALONE = {
    "token",
    "token_file_path",
    "oauth_client_id",
    "workload_identity_provider",
    "authenticator",  # whether it and the next one do, the driver says
    "connection_name",
}
_PROVE_A_USER = {"password", "private_key", "private_key_file"}


@dataclass
class _Reading:
    """A connection while it is read: `extra` is what was not used yet, `problems` are pairs of what
    and what to do."""

    connection: Connection
    extra: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, names: Collection[str], hint: str) -> None:
        """Note fields that ask for what our connectors don't do."""
        self.problems += [
            (f"its {name} is not supported", hint) for name in names if self.extra.pop(name, None)
        ]


def options_of(connection: Connection, known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The connector's options, and the names of fields in the extra that mean nothing to it.

    Args:
        connection: of the type `snowflake` or `databricks`.
        known: the connector's options.

    Raises:
        PermanentError: all that is missing or not supported; no field's value is in it.
    """
    kind = str(connection.conn_type)
    reading = _Reading(connection, _extra(connection.extra_dejson, f"extra__{kind}__"))
    reading.options = {name: reading.extra.pop(name) for name in known if name in reading.extra}
    _READERS[kind](reading)
    for name in _NUMBERS:
        if name in reading.options and not str(reading.options[name]).isdigit():
            reading.problems.append((f"its {name} is not a number", f"set {name} in the extra"))
        elif name in reading.options:
            reading.options[name] = int(reading.options[name])
    if reading.problems:
        what, hints = zip(*reading.problems, strict=True)
        text = f"connection {connection.conn_id!r} can't be used: {'; '.join(what)}"
        raise PermanentError(text, hint="; ".join(dict.fromkeys(hints)))
    return reading.options, sorted(reading.extra)


def _extra(given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The extra's fields that hold something.

    One without the prefix of older forms goes before one with it.
    """
    filled = {name: value for name, value in given.items() if value not in (None, "", False)}
    return {name.removeprefix(prefix): value for name, value in filled.items()} | {
        name: value for name, value in filled.items() if not name.startswith(prefix)
    }


def _snowflake(reading: _Reading) -> None:
    connection, extra, options = reading.connection, reading.extra, reading.options
    login, password = connection.login, connection.password
    reading.refuse(_PROXY, "set HTTPS_PROXY for the workers")
    reading.refuse(
        _OAUTH_ELSEWHERE, "use a key pair, a token, or OAuth with grant_type client_credentials"
    )
    if (region := extra.pop("region", None)) and "account" in options:
        options["account"] += f".{region}"
    if content := extra.pop("private_key_content", None):
        options["private_key"] = content
    if "private_key" in options and "private_key_file" in options:
        reading.problems.append(
            ("it has two private keys", "leave private_key_file or private_key_content out")
        )
    authenticator = str(options.get("authenticator", "snowflake")).lower()
    if authenticator == "snowflake":
        options.pop("authenticator", None)  # the default there; a key or a token says more
    if authenticator == "oauth" and extra.pop("grant_type", None) == "client_credentials":
        del options["authenticator"]
        found = {
            "oauth_client_id": login,
            "oauth_client_secret": password,
            "oauth_token_request_url": extra.pop("token_endpoint", None),
            "oauth_scope": extra.pop("scope", None),
        }
        options |= {name: value for name, value in found.items() if value}
        login = password = None
    if login:
        options.setdefault("user", login)
    if password:
        has_key = "private_key" in options or "private_key_file" in options
        place = "token" if authenticator == "programmatic_access_token" else "password"
        options.setdefault("private_key_passphrase" if has_key else place, password)
    if not (options.get("account") or options.get("connection_name")):
        reading.problems.append(("it names no account", "set account in the extra"))
    if not options.keys() & (_PROVE_ALONE | _PROVE_A_USER):
        hint = "set private_key_content or private_key_file in the extra, or the password"
        reading.problems.append(("nothing in it proves who you are", hint))
    if "user" not in options and not options.keys() & _PROVE_ALONE:
        reading.problems.append(("it names no user", "set the login"))


def _databricks(reading: _Reading) -> None:
    connection, extra, options = reading.connection, reading.extra, reading.options
    login, password = connection.login, connection.password
    way = (
        "set a token as the password, or service_principal_oauth in the extra with login and"
        " password"
    )
    reading.refuse(_AZURE, way)
    refused = bool(reading.problems)
    host = str(extra.pop("host", None) or connection.host or "")
    if host:
        options.setdefault("server_hostname", urlsplit(host).hostname or host.rstrip("/"))
    if token := extra.pop("token", None):
        options["access_token"] = token
    elif password and login in (None, "", "token"):
        options["access_token"] = password
    elif extra.pop("service_principal_oauth", None) and login and password:
        options |= {"client_id": login, "client_secret": password}
    if connection.port and "http_path" in options:
        path = str(options["http_path"]).lstrip("/")
        url = f"{connection.schema or 'https'}://{options.get('server_hostname')}:{connection.port}/{path}"
        options.setdefault("url", url)
    if "server_hostname" not in options:
        reading.problems.append(("it names no workspace", "set the host"))
    if "http_path" not in options:
        reading.problems.append(("it names no SQL warehouse", "set http_path in the extra"))
    if not (refused or options.keys() & {"access_token", "client_id", "auth_type"}):
        reading.problems.append(("nothing in it signs you in", way))


_READERS: Mapping[str, Callable[[_Reading], None]] = {
    "snowflake": _snowflake,
    "databricks": _databricks,
}
