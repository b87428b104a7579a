"""How a Snowflake session is opened: the options that all of ours have, as both lines of the driver spell them."""

from __future__ import annotations

from typing import Any

import snowflake.connector

NETWORK_TIMEOUT = 300
"""Seconds after which a request that gets no answer is given up; the driver repeats it until then."""
LOGIN_TIMEOUT = 60
LOCK_TIMEOUT = 600
"""Seconds that a statement waits for another transaction's lock."""
DRIVER_LINE_5 = int(snowflake.connector.__version__.split(".")[0]) >= 5


def way_in(key: str | None, token: str | None, client: str | None, identity: str | None) -> str | None:
    """The driver's word for the way to log in that the options suggest; None leaves it to the driver."""
    if key:
        return "SNOWFLAKE_JWT"
    if client:
        return "OAUTH_CLIENT_CREDENTIALS"
    if identity:
        return "WORKLOAD_IDENTITY"
    return "PROGRAMMATIC_ACCESS_TOKEN" if token else None


def session_options(query_timeout: int) -> dict[str, Any]:
    """What every session of ours has, whoever opens it."""
    patience = (
        {"request_timeout": NETWORK_TIMEOUT, "query_timeout": NETWORK_TIMEOUT, "server_session_keep_alive": False}
        if DRIVER_LINE_5
        else {"network_timeout": NETWORK_TIMEOUT, "platform_detection_timeout_seconds": 0.0}
    )
    parameters = {
        "TIMEZONE": "UTC",
        "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
        "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
        "LOCK_TIMEOUT": LOCK_TIMEOUT,
        "STATEMENT_TIMEOUT_IN_SECONDS": query_timeout,
        "CLIENT_TELEMETRY_ENABLED": False,
        "CLIENT_PREFETCH_THREADS": 4,
        "CLIENT_MEMORY_LIMIT": 512,
    }
    return {
        "application": "controlplane",
        "autocommit": True,
        "client_session_keep_alive": True,
        "arrow_number_to_decimal": True,
        "login_timeout": LOGIN_TIMEOUT,
        "log_imported_packages_in_telemetry": False,
        "session_parameters": parameters,
        **patience,
    }
