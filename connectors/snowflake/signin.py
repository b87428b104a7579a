"""How to log in to Snowflake, for settings of `kind = "snowflake"`."""

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
    """Open a session.

    Who you are is proved by a key, a token, the cloud's identity, a browser or a password.

    Args:
        account: the account's identifier, such as `myorg-production`.
        user: the user; not needed where the proof names it.
        role: the role to work as; the user's default unless given.
        warehouse: what computes; the user's default unless given.
        database: where schemas are looked for; the user's default unless given.
        connection_name: a connection of the driver's `connections.toml`; all other options go
            before what it says.
        authenticator: how to log in, as the driver calls it, such as `externalbrowser` or `oauth`;
            what the options below suggest unless given.
        private_key_file: the path of a key of a key pair, PEM.
        private_key: that key itself, as PEM or as base64 of it.
        private_key_passphrase: what that key is encrypted with.
        token: a programmatic access token, or with `authenticator = "oauth"` an OAuth one.
        token_file_path: the path of a file with such a token.
        oauth_client_id: of OAuth client credentials.
        oauth_client_secret: of OAuth client credentials.
        oauth_token_request_url: where OAuth client credentials become a token.
        oauth_scope: of the token to ask for.
        workload_identity_provider: whose identity this machine has: AWS, AZURE, GCP or OIDC.
        password: of the user, where the account still takes one.
        host: where the account is reached, if not at its own address: a private link.
        port: the port there.
        protocol: `https`, or `http` for tests.
        query_timeout: seconds after which the server ends a statement.
        query_tags: what every statement bears in the query log besides what it is for.

    Raises:
        SettingsError: it isn't said which account, or the key can't be read.
        TransientError: the account can't be reached now.
        PermanentError: it doesn't let us in, or an option is wrong.
    """
    if not (account or connection_name):
        hint = "give `account`, or `connection_name` of your connections.toml"
        raise SettingsError("connector 'snowflake' does not know the account", hint=hint)
    if authenticator is None:
        authenticator = way_in(
            private_key_file or private_key,
            token or token_file_path,
            oauth_client_id,
            workload_identity_provider,
        )
    given = {
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
    options = {name: value for name, value in given.items() if value is not None}
    context = {
        "role": role or "",
        "warehouse": warehouse or "",
        "query_timeout": str(query_timeout),
    }
    tags = {"application": "controlplane", **(query_tags or {})}
    return SnowflakeWarehouse(
        options | session_options(query_timeout, query_tag(tags)), context, secrets, tags
    )
