"""Checks the URL of an online store more strictly than the driver does.

The driver takes any query parameter as a keyword of its connections, and a path that is not a
number as database 0. Both are refused here, before the first connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from controlplane.errors import SettingsError

SCHEMES = ("redis", "rediss", "unix")
_EXAMPLES = (
    "write redis://host:6379/0, rediss://host:6379/0 for TLS, or unix:///path/of/socket (the last, "
    "and a database other than 0, are not for a cluster)"
)
_ESCAPES = (
    "in its user and password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
)
_REPLACEMENTS = {
    "username": "set `username` of `online`",
    "password": "set `password` of `online`",
    "ssl_ca_certs": "set `ca_certificate` of `online`",
    "ssl_ca_path": "set `ca_certificate` of `online`",
    "ssl_ca_data": "set `ca_certificate` of `online`",
    "ssl_certfile": "set `certificate` of `online`",
    "ssl_keyfile": "set `private_key_file` of `online`",
    "ssl_cert_reqs": (
        "remove it: the server's certificate is always checked; `ca_certificate` names the"
        " authority that signed it"
    ),
    "ssl_check_hostname": (
        "remove it: the server's certificate is always checked, and its host name"
    ),
    "socket_timeout": "set `timeout_seconds` of `online`",
    "socket_connect_timeout": "set `timeout_seconds` of `online`",
    "timeout": "set `timeout_seconds` of `online`",
}
_OPTION = re.compile(r"[A-Za-z_]{1,40}")


def check_url(url: object, options: Iterable[str]) -> None:
    """Refuse a URL that the driver would misunderstand, or not understand at all.

    The error quotes no part of the URL except the name of an option: the URL may hold a password.

    Args:
        url: the value from plane.toml, an environment variable or an Airflow connection.
        options: the names of the settings of `online`, for the hint.

    Raises:
        SettingsError: it is not a Redis URL, has an option other than `db`, or its database is not
            a number.
    """
    parts = _split(url)
    # The parser takes the text after an unescaped character of a password for a path or an option.
    if parts.fragment or "#" in str(url) or any("@" in part for part in (parts.path, parts.query)):
        raise SettingsError(
            "the URL of the online store has an @ or # in the wrong place", hint=_ESCAPES
        )
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in parameters:
        if name != "db":
            raise SettingsError(_unsupported(name), hint=_remedy(name, options))
    path = "" if parts.scheme == "unix" else parts.path.removeprefix("/")
    databases = [value for _, value in parameters] + ([path] if path else [])
    if not all(re.fullmatch("[0-9]{1,9}", database) for database in databases):
        text = "the URL of the online store names a database that is not a number"
        raise SettingsError(text, hint=f"Redis numbers its databases: {_EXAMPLES}")
    if len(databases) > 1:
        text = "the URL of the online store names its database more than once"
        raise SettingsError(text, hint="write it once, such as redis://host:6379/0")


def is_host(name: str) -> bool:
    """Return whether a name can be looked up: Python encodes it first, which fails for some."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return bool(name)


def _split(url: object) -> SplitResult:
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        _ = parts.port  # urllib checks it only on access
        can_be_looked_up = is_host(parts.hostname or "localhost")
        if (
            can_be_looked_up
            and parts.scheme in SCHEMES
            and str(url).startswith(f"{parts.scheme}://")
        ):
            return parts
    except ValueError:
        pass  # raised below without its text, which may hold the password
    raise SettingsError(
        "the URL of the online store is not a Redis URL", hint=f"{_EXAMPLES}; {_ESCAPES}"
    )


def _unsupported(name: str) -> str:
    named = f"the option {name!r}" if _OPTION.fullmatch(name) else "an option"
    return f"the URL of the online store has {named}, which is not supported"


def _remedy(name: str, options: Iterable[str]) -> str:
    known = f"a URL's only option is db; the settings of `online` are: {', '.join(options)}"
    return f"{_REPLACEMENTS.get(name, 'remove it')}; {known}"
