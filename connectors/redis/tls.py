"""TLS to Redis: turns a user's certificate files into the driver's options."""

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
    """Return whether a URL is for a server that speaks TLS."""
    return url.startswith(("rediss://", "valkeys://"))


def driver_options(
    url: str, files: Mapping[str, str | None], *, of_sentinels: bool = False
) -> dict[str, str]:
    """Return the driver's options for certificate files.

    Args:
        url: the store's URL.
        files: the paths, by the names of the platform's options; None where an option is not set.
        of_sentinels: whether sentinels are asked over TLS, so that the files may be for them alone.

    Raises:
        SettingsError: a file does not exist, or no server is asked over TLS.
    """
    paths = {name: path for name, path in files.items() if path is not None}
    if paths and not of_sentinels and not is_secure(url):
        text = f"the online store has a {next(iter(paths))}, but its URL is not one for TLS"
        raise SettingsError(text, hint="write rediss://host:6379/0, or leave it out")
    for name, path in paths.items():
        if not Path(path).is_file():
            raise SettingsError(
                f"the online store's {name}: there is no file {path}",
                hint="give the path of a PEM file",
            )
    return {_TLS[name]: path for name, path in paths.items()}
