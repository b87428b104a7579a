"""Who may log in: a password, a token, or a key whose public half the account knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from tests.endpoints.snowflake.account import Account
from tests.endpoints.snowflake.errors import SnowflakeError


def user_of(account: Account, given: Mapping[str, Any]) -> str:
    """The user that a login proves to be.

    Raises:
        SnowflakeError: it proves nothing.
    """
    how, user = (
        str(given.get("AUTHENTICATOR") or "SNOWFLAKE").upper(),
        str(given.get("LOGIN_NAME") or "").upper(),
    )
    token = str(given.get("TOKEN") or "")
    if how == "SNOWFLAKE":
        if account.users.get(user) != given.get("PASSWORD") or not user:
            raise SnowflakeError(390100, "08001", "Incorrect username or password was specified.")
        return user
    if how in ("PROGRAMMATIC_ACCESS_TOKEN", "OAUTH", "OAUTH_CLIENT_CREDENTIALS"):
        if token not in account.tokens:
            number, what = (
                (390303, "Invalid OAuth access token.")
                if how.startswith("OAUTH")
                else (394400, "Programmatic access token is invalid.")
            )
            raise SnowflakeError(number, "08001", what)
        return account.tokens[token]
    if how == "SNOWFLAKE_JWT":
        return _key_holder(account, user, token)
    raise SnowflakeError(390101, "08001", f"The authenticator {how} is not known here.")


def _key_holder(account: Account, user: str, token: str) -> str:
    key = account.public_keys.get(user)
    try:
        claims = jwt.decode(token, key or "", algorithms=["RS256"], options={"verify_aud": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        raise SnowflakeError(390144, "08001", "JWT token is invalid.") from None
    if not str(claims["sub"]).endswith(f".{user}"):
        raise SnowflakeError(390144, "08001", "JWT token is invalid.")
    return user
