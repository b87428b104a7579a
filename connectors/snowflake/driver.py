"""Options of Snowflake's driver, and the differences between its versions 4 and 5."""

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
"""Seconds after which a request without an answer fails; the driver repeats it until then."""
LOGIN_TIMEOUT = 60  # seconds
LOCK_TIMEOUT = 600
"""Seconds that a statement waits for another transaction's lock."""
LONGEST_TAG = 2000  # characters; Snowflake refuses a longer tag
_QUOTED = re.compile(
    r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|\$\$.*?\$\$|(?:--|//)[^\n]*|/\*.*?\*/""", re.DOTALL
)
DRIVER_LINE_5 = int(snowflake.connector.__version__.split(".")[0]) >= 5


def way_in(
    key: str | None, token: str | None, client: str | None, identity: str | None
) -> str | None:
    """Return the driver's `authenticator` for the options that are set; None: its default."""
    if key:
        return "SNOWFLAKE_JWT"
    if client:
        return "OAUTH_CLIENT_CREDENTIALS"
    if identity:
        return "WORKLOAD_IDENTITY"
    return "PROGRAMMATIC_ACCESS_TOKEN" if token else None


def key_bytes(path: str | None, text: str | None, passphrase: str | None) -> bytes | None:
    """Return a private key in the driver's format (DER, PKCS#8, not encrypted).

    Args:
        path: the key's file, if any.
        text: the key itself, if any; PEM, or base64 of DER.
        passphrase: of the key, if it is encrypted.

    Raises:
        SettingsError: the key can't be read.
    """
    if not (path or text):
        return None
    try:
        encoded = Path(path).expanduser().read_bytes() if path else (text or "").encode()
        pem = encoded if b"-----BEGIN" in encoded else base64.b64decode(encoded)
        key = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except OSError as error:
        message = f"private_key_file can't be read: {error.strerror}"
        raise SettingsError(message, hint="give the path of a file on this machine") from None
    except RuntimeError:  # HOME is not set, and the uid has no home
        text = "private_key_file can't be read: this user has no home for ~"
        raise SettingsError(text, hint="give an absolute path, or set HOME") from None
    except (ValueError, TypeError):
        hint = "give it as PEM; set `private_key_passphrase` if, and only if, it is encrypted"
        raise SettingsError(
            "not a valid private key, or its passphrase is wrong", hint=hint
        ) from None
    encodings = (
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key.private_bytes(*encodings)


def query_tag(tags: Mapping[str, str]) -> str:
    """Return a statement's tag in the query log: JSON, so that queries over the log can parse it.

    Values are cut until the tag is short enough.
    """
    longest = max(map(len, tags.values()), default=0)
    while True:
        text = json.dumps(
            {name: value[:longest] for name, value in tags.items() if value}, ensure_ascii=False
        )
        if len(text) <= LONGEST_TAG or not longest:
            return text
        longest //= 2


def session_options(query_timeout: int, tag: str) -> dict[str, Any]:
    """Return the options that all sessions share."""
    of_line_5 = {
        "request_timeout": NETWORK_TIMEOUT,
        "query_timeout": NETWORK_TIMEOUT,
        "enable_server_session_keep_alive_auto_detection": False,
    }
    of_line_4 = {"network_timeout": NETWORK_TIMEOUT, "platform_detection_timeout_seconds": 0.0}
    parameters = {
        "QUERY_TAG": tag,
        "TIMEZONE": "UTC",
        # A user's or an account's settings must not change the results of functions, so these are
        # set to Snowflake's defaults.
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


def described(cursor: Any) -> list[Any]:  # noqa: ANN401 - each version has a class of its own
    """Return the columns of a cursor's result."""
    # Unlike its `description`, these private attributes have the types of arrays' items.
    columns = cursor._query_result.description_v2 if DRIVER_LINE_5 else cursor._description_internal
    return list(columns or ())


def is_one_query(sql: str) -> bool:
    """Return whether a text is exactly one SELECT or WITH, and no other statement."""
    bare = _QUOTED.sub(
        lambda quoted: " " if quoted[0].startswith(("--", "//", "/*")) else "x", sql
    ).strip()
    bare = bare.removesuffix(";")
    return ";" not in bare and re.match(r"\(*\s*(SELECT|WITH)\b", bare, re.IGNORECASE) is not None
