"""Opens a session: the ways to sign in, and the options of all sessions."""

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
"""Files of a large result that are downloaded, and held in memory, at the same time."""
QUICK_SECONDS = 30
"""The limit for requests that are quick: reaching the workspace, getting a token."""
# Without a handler, the driver's warnings go to the terminal of an application that has not set up
# logging.
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
    """Open a session on a SQL warehouse; this starts a stopped warehouse, and waits for it.

    Args:
        server_hostname: the workspace, such as `dbc-a1b2345c-d6e7.cloud.databricks.com`.
        http_path: the warehouse's path, such as `/sql/1.0/warehouses/1234567890abcdef`.
        access_token: the token of a user or a service principal.
        client_id: the id of a service principal for OAuth, instead of `access_token`.
        client_secret: its secret.
        auth_type: `databricks-oauth` or `azure-oauth`, instead of `access_token`: a person signs in
            with the browser.
        catalog: the catalog of names without one (default: the workspace's default).
        query_timeout: seconds after which the warehouse stops a statement.
        url: the whole address, if it is not made of the first two, such as behind a private link.
        ca_file: the certificates to trust instead of the machine's.
        query_tags: tags for every statement in the query history, in addition to its purpose.

    Raises:
        SettingsError: there is no address, or not exactly one way to sign in.
        TransientError: the warehouse can't be reached.
        PermanentError: the warehouse refuses the credentials.
    """
    if not url and not (server_hostname and http_path):
        hint = (
            "give server_hostname and http_path, as the warehouse's connection details have them,"
            " or url"
        )
        raise SettingsError("connecting to Databricks: no SQL warehouse is set", hint=hint)
    host = (server_hostname or "").removeprefix("https://").rstrip("/")
    address = url or f"https://{host}/{(http_path or '').lstrip('/')}"
    _check_address(address)
    host = host or str(parse.urlsplit(address).hostname)
    http_path = http_path or parse.urlsplit(address).path
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
            "connecting to Databricks: expected exactly one way to sign in",
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
                # Databricks' own default. With another one, the same text is another time.
                "LEGACY_TIME_PARSER_POLICY": "EXCEPTION",
                "STATEMENT_TIMEOUT": str(query_timeout),
            },
            query_tags=shown_tags(tags),
            user_agent_entry="controlplane",
            max_download_threads=DOWNLOADS,
            # With telemetry, the driver calls another address of the workspace, and waits a minute
            # if it can't be reached.
            enable_telemetry=False,
            # The driver waits at least the maximum delay, even if the server asks for less.
            _retry_delay_max=5,
            _retry_delay_min=0.25,
            _retry_stop_after_attempts_count=60,
            _connection_uri=address,
            _tls_trusted_ca_file=ca_file,
            **sign_in,
        )

    return DatabricksWarehouse(open_session, host, tags)


def _check_address(address: str) -> None:
    """Refuse an address that is not a plain URL, without quoting it: it may hold a token.

    Raises:
        SettingsError: it has a user, a password or options, or its host or port can't be read.
    """
    try:
        parts = parse.urlsplit(address)
        plain = parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in address
        _ = parts.port  # urllib checks it only on access
    except ValueError:
        plain = False  # raised below without its text, which may hold a part of the address
    if not plain:
        raise SettingsError(
            "the address of the SQL warehouse is not a plain https URL",
            hint=(
                'write url = "https://host/sql/1.0/warehouses/...", or server_hostname and'
                " http_path; credentials have settings of their own, such as access_token"
            ),
        )


def _reach(address: str) -> None:
    """Fail in seconds if no server answers at an address: the driver would try for minutes."""
    # Behind a proxy a direct connection says nothing.
    if request.getproxies():
        return
    parts = parse.urlsplit(address)
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=QUICK_SECONDS).close()
    except OSError as error:
        raise TransientError(
            f"connecting to {parts.hostname}: {error.strerror or error}",
            hint="check server_hostname and the network",
        ) from None


def _service_principal(
    address: str, client_id: str, client_secret: str, ca_file: str | None
) -> Callable[[], dict[str, str]]:
    """Return a function that makes headers with a new token of a service principal.

    The driver calls it when the old token expires.
    """
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    token_request = request.Request(  # noqa: S310 - the address is checked by `_check_address`
        address,
        data=b"grant_type=client_credentials&scope=all-apis",
        headers={"Authorization": f"Basic {pair}"},
    )

    def headers() -> dict[str, str]:
        trusted = ssl.create_default_context(cafile=ca_file)
        try:
            with request.urlopen(  # noqa: S310 - the address is checked by `_check_address`
                token_request, timeout=QUICK_SECONDS, context=trusted
            ) as response:
                token = json.load(response)["access_token"]
        except url_error.HTTPError as error:
            hint = "check client_id and client_secret, and whether the secret has expired"
            message = f"signing in to Databricks: the service principal was refused ({error.code})"
            raise PermanentError(message, hint=hint) from None
        except (OSError, ValueError, KeyError) as error:
            raise TransientError(f"signing in to Databricks: {error}", hint="try again") from None
        return {"Authorization": f"Bearer {token}"}

    return headers
