"""Logs in to Snowflake, for settings of `kind = "snowflake"`."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.snowflake.driver import key_bytes, query_tag, session_options, way_in
from connectors.snowflake.warehouse import SnowflakeWarehouse
from controlplane.errors import SettingsError


def connect(
    *,
    account: str | None = None,
    user: str | None = None,
    role: str | None = None,
    warehouse: str | None = None,
    database: str | None = None,
    connection_name: str | None = None,
    authenticator: str | None = None,
    private_key_file: str | None = None,
    private_key: str | None = None,
    private_key_passphrase: str | None = None,
    token: str | None = None,
    token_file_path: str | None = None,
    oauth_client_id: str | None = None,
    oauth_client_secret: str | None = None,
    oauth_token_request_url: str | None = None,
    oauth_scope: str | None = None,
    workload_identity_provider: str | None = None,
    password: str | None = None,
    host: str | None = None,
    port: int | None = None,
    protocol: str | None = None,
    query_timeout: int = 14_400,
    query_tags: Mapping[str, str] | None = None,
) -> SnowflakeWarehouse:
    """Open a session, with a key, a token, the cloud's identity, a browser or a password.

    Args:
        account: the account's identifier, such as `myorg-production`.
        user: the user; not needed if the credentials name it.
        role: the role to work as (default: the user's default).
        warehouse: the warehouse that computes (default: the user's default).
        database: the database of schemas without one (default: the user's default).
        connection_name: a connection of the driver's `connections.toml`; all other options
            override it.
        authenticator: the driver's name for the way to log in, such as `externalbrowser` or
            `oauth` (default: chosen by the options below).
        private_key_file: the path of a key of a key pair, PEM.
        private_key: that key itself, as PEM or as base64 of DER.
        private_key_passphrase: the passphrase of an encrypted key.
        token: a programmatic access token, or with `authenticator = "oauth"` an OAuth token.
        token_file_path: the path of a file with such a token.
        oauth_client_id: the client of OAuth client credentials.
        oauth_client_secret: the secret of OAuth client credentials.
        oauth_token_request_url: the URL that issues tokens for OAuth client credentials.
        oauth_scope: the scope of the token to ask for.
        workload_identity_provider: the issuer of this machine's identity: AWS, AZURE, GCP or OIDC.
        password: the user's password, if the account still accepts one.
        host: the host of the account's address, if it differs, such as for a private link.
        port: the port of that host.
        protocol: `https`, or `http` for tests.
        query_timeout: seconds after which the server ends a statement.
        query_tags: tags for every statement in the query log, in addition to its purpose.

    Raises:
        SettingsError: no account is set, or the key can't be read.
        TransientError: the account can't be reached now.
        PermanentError: the account refuses the login, or an option is wrong.
    """
    if not (account or connection_name):
        hint = "give `account`, or `connection_name` of your connections.toml"
        raise SettingsError("connecting to Snowflake: no account is set", hint=hint)
    if authenticator is None:
        authenticator = way_in(
            private_key_file or private_key,
            token or token_file_path,
            oauth_client_id,
            workload_identity_provider,
        )
    all_options = {
        "account": account,
        "user": user,
        "role": role,
        "warehouse": warehouse,
        "database": database,
        "connection_name": connection_name,
        "authenticator": authenticator,
        "private_key": key_bytes(private_key_file, private_key, private_key_passphrase),
        "token": token,
        "token_file_path": token_file_path,
        "oauth_client_id": oauth_client_id,
        "oauth_client_secret": oauth_client_secret,
        "oauth_token_request_url": oauth_token_request_url,
        "oauth_scope": oauth_scope,
        "workload_identity_provider": workload_identity_provider,
        "password": password,
        "host": host,
        "port": port,
        "protocol": protocol,
    }
    secrets = {
        text
        for text in (private_key, private_key_passphrase, token, oauth_client_secret, password)
        if text
    }
    options = {name: value for name, value in all_options.items() if value is not None}
    context = {
        "role": role or "",
        "warehouse": warehouse or "",
        "query_timeout": str(query_timeout),
    }
    tags = {"application": "controlplane", **(query_tags or {})}
    return SnowflakeWarehouse(
        options | session_options(query_timeout, query_tag(tags)), context, secrets, tags
    )
