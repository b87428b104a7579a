"""What differs between lines 4 and 5 of Snowflake's driver, the options of all our sessions, what
it may be given."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import snowflake.connector
from cryptography.hazmat.primitives import serialization

from controlplane.errors import SettingsError

NETWORK_TIMEOUT = 300
"""Seconds after which a request that gets no answer is given up.

The driver repeats it until then.
"""
LOGIN_TIMEOUT = 60
LOCK_TIMEOUT = 600
"""Seconds that a statement waits for another transaction's lock."""
LONGEST_TAG = 2000
_QUOTED = re.compile(
    r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|\$\$.*?\$\$|(?:--|//)[^\n]*|/\*.*?\*/""", re.DOTALL
)
DRIVER_LINE_5 = int(snowflake.connector.__version__.split(".")[0]) >= 5


def way_in(
    key: str | None, token: str | None, client: str | None, identity: str | None
) -> str | None:
    """The driver's word for the way to log in that the options suggest.

    None leaves it to the driver.
    """
    if key:
        return "SNOWFLAKE_JWT"
    if client:
        return "OAUTH_CLIENT_CREDENTIALS"
    if identity:
        return "WORKLOAD_IDENTITY"
    return "PROGRAMMATIC_ACCESS_TOKEN" if token else None


def key_bytes(path: str | None, text: str | None, passphrase: str | None) -> bytes | None:
    """The private key of a file or of a text, PEM or base64 of it, as the driver wants it.

    None if there is neither.

    Raises:
        SettingsError: it can't be read.
    """
    if not (path or text):
        return None
    try:
        given = Path(path).expanduser().read_bytes() if path else (text or "").encode()
        pem = given if b"-----BEGIN" in given else base64.b64decode(given)
        key = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except OSError as error:
        raise SettingsError(
            f"private_key_file can't be read: {error.strerror}", hint="give its path here"
        ) from None
    except RuntimeError:  # HOME is not set, and the uid has no home
        text = "private_key_file can't be read: this user has no home for ~"
        raise SettingsError(text, hint="give an absolute path, or set HOME") from None
    except (ValueError, TypeError):
        hint = "give it as PEM, with its passphrase if it is encrypted and without one if it is not"
        raise SettingsError(
            "the private key is none, or its passphrase is wrong", hint=hint
        ) from None
    encodings = (
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key.private_bytes(*encodings)


def query_tag(tags: Mapping[str, str]) -> str:
    """What the query log shows of a statement: JSON, so that a query over the log can take it
    apart."""
    longest = max(map(len, tags.values()), default=0)
    while True:
        text = json.dumps(
            {name: value[:longest] for name, value in tags.items() if value}, ensure_ascii=False
        )
        if len(text) <= LONGEST_TAG or not longest:
            return text
        longest //= 2


def session_options(query_timeout: int, tag: str) -> dict[str, Any]:
    """What every session of ours has, whoever opens it."""
    of_line_5 = {
        "request_timeout": NETWORK_TIMEOUT,
        "query_timeout": NETWORK_TIMEOUT,
        "enable_server_session_keep_alive_auto_detection": False,
    }
    of_line_4 = {"network_timeout": NETWORK_TIMEOUT, "platform_detection_timeout_seconds": 0.0}
    parameters = {
        "QUERY_TAG": tag,
        "TIMEZONE": "UTC",
        # Settings of a user or an account must not decide what a function gives: these are
        # Snowflake's defaults.
        "WEEK_START": 0,
        "WEEK_OF_YEAR_POLICY": 0,
        "TWO_DIGIT_CENTURY_START": 1970,
        "DATE_INPUT_FORMAT": "AUTO",
        "TIME_INPUT_FORMAT": "AUTO",
        "TIMESTAMP_INPUT_FORMAT": "AUTO",
        "BINARY_INPUT_FORMAT": "HEX",
        "DATE_OUTPUT_FORMAT": "YYYY-MM-DD",
        "TIME_OUTPUT_FORMAT": "HH24:MI:SS",
        "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF3",
        "BINARY_OUTPUT_FORMAT": "HEX",
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
        **(of_line_5 if DRIVER_LINE_5 else of_line_4),
    }


def described(cursor: Any) -> list[Any]:  # noqa: ANN401 - a cursor of either line
    """The columns of a cursor's result.

    Unlike its `description` they tell the types of arrays' items.
    """
    columns = cursor._query_result.description_v2 if DRIVER_LINE_5 else cursor._description_internal
    return list(columns or ())


def is_one_query(sql: str) -> bool:
    """Whether a text is exactly one SELECT, or one WITH: nothing else may stand before it or behind
    a semicolon."""
    bare = _QUOTED.sub(
        lambda quoted: " " if quoted[0].startswith(("--", "//", "/*")) else "x", sql
    ).strip()
    bare = bare.removesuffix(";")
    return ";" not in bare and re.match(r"\(*\s*(SELECT|WITH)\b", bare, re.IGNORECASE) is not None
