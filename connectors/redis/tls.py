"""TLS to Redis: the files that a user names, as the driver's options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.errors import SettingsError

_TLS = {
    "ca_certificate": "ssl_ca_certs",
    "certificate": "ssl_certfile",
    "private_key_file": "ssl_keyfile",
}


def is_secure(url: str) -> bool:
    """Whether a URL says that the server speaks TLS."""
    return url.startswith(("rediss://", "valkeys://"))


def driver_options(
    url: str, files: Mapping[str, str | None], *, of_sentinels: bool = False
) -> dict[str, str]:
    """The driver's options for files of TLS.

    Args:
        url: of the store.
        files: the paths, by the names of our options; None where one is not given.
        of_sentinels: whether sentinels are asked over TLS, so that the files may be theirs alone.

    Raises:
        SettingsError: a file is not there, or nothing speaks TLS.
    """
    given = {name: path for name, path in files.items() if path is not None}
    if given and not of_sentinels and not is_secure(url):
        text = f"the online store has a {next(iter(given))}, but its URL is not one for TLS"
        raise SettingsError(text, hint="write rediss://host:6379/0, or leave it out")
    for name, path in given.items():
        if not Path(path).is_file():
            raise SettingsError(
                f"the online store's {name}: there is no file {path}",
                hint="give the path of a PEM file",
            )
    return {_TLS[name]: path for name, path in given.items()}
