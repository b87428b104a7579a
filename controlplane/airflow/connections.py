"""Turns Airflow's connections of the types `snowflake` and `databricks` into connector options.

The fields mean the same as in Airflow's providers for the two, so that a team's connections work
here, too; the providers need not be installed. An extra may also hold the connectors' own options,
by their names.
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
    "authenticator",  # for this one and the next, only the driver knows whether it is enough
    "connection_name",
}
_PROVE_A_USER = {"password", "private_key", "private_key_file"}


@dataclass
class _Reading:
    """A connection while it is read.

    Attributes:
        connection: the connection.
        extra: the fields of its extra that are not used yet.
        options: the connector's options so far.
        problems: pairs of a problem and its hint.
    """

    connection: Connection
    extra: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, names: Collection[str], hint: str) -> None:
        """Add a problem for each of these fields that is set: connectors don't support them."""
        self.problems += [
            (f"its {name} is not supported", hint) for name in names if self.extra.pop(name, None)
        ]


def options_of(connection: Connection, known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the connector's options, and the names of unused fields in the extra.

    Args:
        connection: a connection of the type `snowflake` or `databricks`.
        known: the names of the connector's options.

    Raises:
        PermanentError: fields are missing or not supported; the error names all, without values.
    """
    conn_type = str(connection.conn_type)
    reading = _Reading(connection, _extra(connection.extra_dejson, f"extra__{conn_type}__"))
    reading.options = {name: reading.extra.pop(name) for name in known if name in reading.extra}
    _READERS[conn_type](reading)
    for name in _NUMBERS:
        if name in reading.options and not str(reading.options[name]).isdigit():
            reading.problems.append((f"its {name} is not a number", f"set {name} in the extra"))
        elif name in reading.options:
            reading.options[name] = int(reading.options[name])
    if reading.problems:
        problems, hints = zip(*reading.problems, strict=True)
        text = f"connection {connection.conn_id!r} can't be used: {'; '.join(problems)}"
        raise PermanentError(text, hint="; ".join(dict.fromkeys(hints)))
    return reading.options, sorted(reading.extra)


def _extra(fields: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the extra's fields that are set; older forms wrote them with a prefix.

    A field without the prefix overrides one with it.
    """
    filled = {name: value for name, value in fields.items() if value not in (None, "", False)}
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
        # The provider's default. Without it, the connector chooses by the key or token.
        options.pop("authenticator", None)
    if authenticator == "oauth" and extra.pop("grant_type", None) == "client_credentials":
        del options["authenticator"]
        credentials = {
            "oauth_client_id": login,
            "oauth_client_secret": password,
            "oauth_token_request_url": extra.pop("token_endpoint", None),
            "oauth_scope": extra.pop("scope", None),
        }
        options |= {name: value for name, value in credentials.items() if value}
        login = password = None
    if login:
        options.setdefault("user", login)
    if password:
        has_key = "private_key" in options or "private_key_file" in options
        option = "token" if authenticator == "programmatic_access_token" else "password"
        options.setdefault("private_key_passphrase" if has_key else option, password)
    if not (options.get("account") or options.get("connection_name")):
        reading.problems.append(("it has no account", "set account in the extra"))
    if not options.keys() & (_PROVE_ALONE | _PROVE_A_USER):
        hint = "set private_key_content or private_key_file in the extra, or the password"
        reading.problems.append(("it has no credentials", hint))
    if "user" not in options and not options.keys() & _PROVE_ALONE:
        reading.problems.append(("it has no user", "set the login"))


def _databricks(reading: _Reading) -> None:
    connection, extra, options = reading.connection, reading.extra, reading.options
    login, password = connection.login, connection.password
    sign_in_hint = (
        "set a token as the password, or service_principal_oauth in the extra with login and"
        " password"
    )
    reading.refuse(_AZURE, sign_in_hint)
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
        server = f"{options.get('server_hostname')}:{connection.port}"
        options.setdefault("url", f"{connection.schema or 'https'}://{server}/{path}")
    if "server_hostname" not in options:
        reading.problems.append(("it has no host", "set the host"))
    if "http_path" not in options:
        reading.problems.append(("it has no http_path", "set http_path in the extra"))
    if not (refused or options.keys() & {"access_token", "client_id", "auth_type"}):
        reading.problems.append(("it has no credentials", sign_in_hint))


_READERS: Mapping[str, Callable[[_Reading], None]] = {
    "snowflake": _snowflake,
    "databricks": _databricks,
}
