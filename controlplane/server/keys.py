"""API keys, each for some feature services. A file holds their digests, never the keys themselves.

A key is `plane_<id>_<secret>`. Its entry is looked up by the id, and the digest of the whole key is
compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from pathlib import Path

import msgspec

from controlplane.errors import Location, PlaneError, SettingsError

_KEY = re.compile(r"plane_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_SCHEMES = ("bearer", "tecton-key")
ALL = "*"


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the file.

    Args:
        name: the user of the key, for people and logs.
        id: the public part of the key.
        digest: `sha256:` and the digest of the whole key in hexadecimal digits.
        services: the feature services that the key may read; `*` for all.
    """

    name: str
    id: str
    digest: str
    services: tuple[str, ...]

    def allows(self, service: str) -> bool:
        """Return whether the key may read a feature service."""
        return service in self.services or ALL in self.services

    def entry(self) -> str:
        """Return the TOML to append to the file."""
        names = ", ".join(f'"{service}"' for service in self.services)
        return (
            f'[[key]]\nname = "{self.name}"\nid = "{self.id}"\ndigest = "{self.digest}"\nservices ='
            f" [{names}]\n"
        )


class _File(msgspec.Struct, forbid_unknown_fields=True):
    key: tuple[Key, ...] = ()


def create(name: str, services: tuple[str, ...]) -> tuple[str, Key]:
    """Make a new key and its entry. The key is stored nowhere.

    Raises:
        PlaneError: the file of API keys can't hold the name, or that of a service.
    """
    public = secrets.token_hex(4)
    secret = f"plane_{public}_{secrets.token_urlsafe(32)}"
    key = Key(name, public, _digest(secret), services)
    if not (_is_read_back(key) and all(text.isprintable() for text in (name, *services))):
        text = (
            "can't make the API key: a name has a quote, a backslash, a line break or a control"
            " character"
        )
        raise PlaneError(text, hint="remove these characters")
    return secret, key


def _is_read_back(key: Key) -> bool:
    """Return whether a file with the key's entry is read back as this key."""
    try:
        return _parsed(key.entry().encode()) == (key,)
    except (tomllib.TOMLDecodeError, UnicodeError, msgspec.ValidationError):
        return False


def _parsed(file: bytes) -> tuple[Key, ...]:
    return msgspec.convert(tomllib.loads(file.decode("utf-8-sig")), _File).key


def _digest(secret: str) -> str:
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


class Keyring:
    """The keys of a file.

    Raises:
        SettingsError: the file can't be read or is wrong.
    """

    def __init__(self, file: Path) -> None:
        where = Location(str(file))
        hint = (
            "each key is a table [[key]] with name, id, digest and services, as `plane serve key`"
            " prints it"
        )
        try:
            keys = _parsed(file.read_bytes())
        except OSError as error:
            raise SettingsError(
                f"the file of API keys can't be read: {error.strerror}", where=where
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            raise SettingsError(
                "the file of API keys is not valid TOML", where=where, hint=hint
            ) from None
        except msgspec.ValidationError as error:
            raise SettingsError(
                f"the file of API keys is wrong: {error}", where=where, hint=hint
            ) from None
        self._keys = {key.id: key for key in keys}
        if len(self._keys) < len(keys):
            raise SettingsError(
                "the file of API keys has an id twice", where=where, hint="make a new key"
            )

    def find(self, authorization: bytes) -> Key | None:
        """Return the entry of the key in an `Authorization` header, None if it has no valid key.

        The header's scheme is `Bearer`, or `Tecton-key` as Tecton's clients write it.
        """
        scheme, _, secret = authorization.decode("latin-1").partition(" ")
        match = _KEY.fullmatch(secret.strip())
        if match is None or scheme.lower() not in _SCHEMES:
            return None
        key = self._keys.get(match[1])
        if key is None:
            return None
        return key if hmac.compare_digest(key.digest, _digest(match[0])) else None
