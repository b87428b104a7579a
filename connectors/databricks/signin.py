"""Opening a session: the ways to sign in, and what every session of ours is set to."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib import error as url_error
from urllib import parse, request

from databricks import sql as driver
from databricks.sql.client import Connection

from connectors.databricks.warehouse import DatabricksWarehouse, shown_tags
from controlplane.errors import PermanentError, SettingsError, TransientError

OAUTH_TYPES = ("databricks-oauth", "azure-oauth")
DOWNLOADS = 4
"""Files of a large result that are fetched, and held, at the same time."""
PATIENCE = 30
"""Seconds for what is answered at once: reaching the workspace, getting a token."""
# A library's warnings would go to the terminal where nobody has set up logging; who has still sees
# them.
logging.getLogger("databricks").addHandler(logging.NullHandler())


def connect(
    *,
    server_hostname: str | None = None,
    http_path: str | None = None,
    access_token: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    auth_type: str | None = None,
    catalog: str | None = None,
    query_timeout: int = 14_400,
    url: str | None = None,
    ca_file: str | None = None,
    query_tags: Mapping[str, str] | None = None,
) -> DatabricksWarehouse:
    """Open a session on a SQL warehouse; one that is stopped is started, and waited for.

    Args:
        server_hostname: the workspace, such as `dbc-a1b2345c-d6e7.cloud.databricks.com`.
        http_path: of the warehouse, such as `/sql/1.0/warehouses/1234567890abcdef`.
        access_token: of a user or a service principal; or give one of the two that follow.
        client_id: a service principal, with its `client_secret`, for OAuth.
        client_secret: its secret.
        auth_type: `databricks-oauth` or `azure-oauth`: a person signs in, with the browser.
        catalog: of names that don't say theirs; the workspace's default unless given.
        query_timeout: seconds after which the warehouse stops a statement.
        url: the whole address in place of the first two, or where it is not made of them, as behind
            a private link.
        ca_file: the certificates to trust, where they are not the machine's.
        query_tags: what every statement bears in the query history besides what it is for.

    Raises:
        SettingsError: there is no address, or not exactly one way of signing in.
        TransientError: the warehouse can't be reached.
        PermanentError: it refuses.
    """
    if not url and not (server_hostname and http_path):
        hint = (
            "give server_hostname and http_path, as the warehouse's connection details have them,"
            " or url"
        )
        raise SettingsError("it must be clear where the SQL warehouse is", hint=hint)
    host = (server_hostname or "").removeprefix("https://").rstrip("/")
    address = url or f"https://{host}/{(http_path or '').lstrip('/')}"
    _check_address(address)
    host, http_path = (
        host or str(parse.urlsplit(address).hostname),
        http_path or parse.urlsplit(address).path,
    )
    ways: dict[str, dict[str, Any]] = {}
    if access_token:
        ways["access_token"] = {"access_token": access_token}
    if client_id and client_secret:
        headers = _service_principal(
            parse.urljoin(address, "/oidc/v1/token"), client_id, client_secret, ca_file
        )
        ways["client_id"] = {"credentials_provider": lambda: headers}
    if auth_type in OAUTH_TYPES:
        ways["auth_type"] = {"auth_type": auth_type}
    if (
        len(ways) != 1
        or (auth_type and "auth_type" not in ways)
        or bool(client_id) != bool(client_secret)
    ):
        raise SettingsError(
            "it must be clear how to sign in to Databricks",
            hint=(
                "give access_token, or client_id and client_secret, or auth_type:"
                f" {' or '.join(OAUTH_TYPES)}"
            ),
        )
    [sign_in] = ways.values()
    _reach(address)
    tags = {"application": "controlplane", **(query_tags or {})}

    def open_session() -> Connection:
        return driver.connect(
            server_hostname=host,
            http_path=http_path,
            catalog=catalog,
            session_configuration={
                "TIMEZONE": "UTC",
                "ANSI_MODE": "true",
                "STATEMENT_TIMEOUT": str(query_timeout),
            },
            query_tags=shown_tags(tags),
            user_agent_entry="controlplane",
            max_download_threads=DOWNLOADS,
            # With telemetry on, the driver calls another address of the workspace, and waits a
            # minute for it.
            enable_telemetry=False,
            # The driver waits at least the longest delay, whatever the server asks for.
            _retry_delay_max=5,
            _retry_delay_min=0.25,
            _retry_stop_after_attempts_count=60,
            _connection_uri=address,
            _tls_trusted_ca_file=ca_file,
            **sign_in,
        )

    return DatabricksWarehouse(open_session, host, tags)


def _check_address(address: str) -> None:
    """Refuse an address that is not a plain URL, without repeating it: it may hold a token.

    Raises:
        SettingsError: it has a user, a password or options, or its host or port can't be read.
    """
    try:
        parts = parse.urlsplit(address)
        plain = parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in address
        _ = parts.port  # it is read when it is asked for
    except ValueError:
        plain = False  # its text may hold a part of the address
    if not plain:
        raise SettingsError(
            "the address of the SQL warehouse is not a plain https URL",
            hint=(
                'write url = "https://host/sql/1.0/warehouses/...", or server_hostname and'
                " http_path; credentials have settings of their own, such as access_token"
            ),
        )


def _reach(address: str) -> None:
    """Fail in seconds where there is nobody at an address: the driver would try for minutes."""
    if request.getproxies():
        return
    place = parse.urlsplit(address)
    try:
        socket.create_connection((place.hostname, place.port or 443), timeout=PATIENCE).close()
    except OSError as error:
        raise TransientError(
            f"connecting to {place.hostname}: {error.strerror or error}",
            hint="check server_hostname and the network",
        ) from None


def _service_principal(
    address: str, client_id: str, client_secret: str, ca_file: str | None
) -> Callable[[], dict[str, str]]:
    """The headers of a service principal, with a new token at each call.

    The driver calls when the old one expires.
    """
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    wanted = request.Request(  # noqa: S310 - the address is the one that the statements go to
        address,
        data=b"grant_type=client_credentials&scope=all-apis",
        headers={"Authorization": f"Basic {pair}"},
    )

    def headers() -> dict[str, str]:
        trusted = ssl.create_default_context(cafile=ca_file)
        try:
            with request.urlopen(wanted, timeout=PATIENCE, context=trusted) as answer:  # noqa: S310 - as above
                token = json.load(answer)["access_token"]
        except url_error.HTTPError as error:
            hint = "check client_id and client_secret, and whether the secret has expired"
            message = f"signing in to Databricks: the service principal was refused ({error.code})"
            raise PermanentError(message, hint=hint) from None
        except (OSError, ValueError, KeyError) as error:
            raise TransientError(f"signing in to Databricks: {error}", hint="try again") from None
        return {"Authorization": f"Bearer {token}"}

    return headers
