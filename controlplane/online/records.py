"""What the online store keeps besides values, as typed records: cursors, serving pointers, claims.

Each record is one small hash. `naming` makes the hash's key; only this module knows its fields and
their encoding. Deployed projects keep their hashes, so the stored form of a field never changes.

A model's process reads pointers too, so this module imports nothing heavy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self

import msgspec

from controlplane.base import naming
from controlplane.base.ports import AsyncOnlineStore, HashStore, OnlineStore
from controlplane.base.types import utc

Fields = dict[bytes, bytes]


class _Record(msgspec.Struct, frozen=True):
    """A record whose attributes are the fields of a hash.

    An attribute that is None has no field.
    """

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode the fields of a hash; fields that the record does not have are ignored."""
        stored = ((name, fields.get(name.encode())) for name in cls.__struct_fields__)
        return cls(
            **{
                name: _DECODERS.get(name, bytes.decode)(raw)
                for name, raw in stored
                if raw is not None
            }
        )

    def to_fields(self) -> Fields:
        """Encode the attributes as the fields of a hash."""
        return {
            name.encode(): _encoded(value)
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not None
        }


class Cursor(_Record, frozen=True):
    """The progress of the sync of one version of a view. Without any field, it was never synced.

    Attributes:
        version: the newest publication whose values are all written; 0 while values are removed or
            replaced; None until the first sync has ended.
        token: random bytes that stay the same until the store loses values or somebody removes
            them.
        rows: the number of rows that the last sync read.
        synced_at: the start of the last sync, by the wall clock.
        epoch: `StoreInfo.epoch` at the last sync.
        warehouse: the id of the warehouse that the values come from.
    """

    version: int | None = None
    token: bytes | None = None
    rows: int | None = None
    synced_at: datetime | None = None
    epoch: str | None = None
    warehouse: str | None = None

    @property
    def exists(self) -> bool:
        """Whether the store has the cursor."""
        return self != Cursor()

    @property
    def reached(self) -> int:
        """The version, or 0 if there is none."""
        return self.version or 0


class Claim(_Record, frozen=True):
    """The warehouse and schema that a namespace's values come from.

    Attributes:
        warehouse: the warehouse's id, see `control.identity`.
        schema: the schema of its tables.
        place: the warehouse's location, such as a file or an account, as its connector names it.
        made_by: the user of its first deployment, as `user@host`.
        since: the time of the first sync, in ISO 8601.
    """

    warehouse: str
    schema: str = ""
    place: str = ""
    made_by: str = ""
    since: str = ""

    def __str__(self) -> str:
        by = f", first deployed by {self.made_by}" if self.made_by else ""
        since = f", synced since {self.since}" if self.since else ""
        return f"warehouse {self.warehouse} ({self.place}, schema {self.schema}{by}{since})"


class Pointers(msgspec.Struct, frozen=True):
    """The version of each view that readers read: view -> fingerprint."""

    versions: Mapping[str, str]

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode the fields of a hash."""
        return cls({view.decode(): version.decode() for view, version in fields.items()})

    def to_fields(self) -> Fields:
        """Encode the pointers as the fields of a hash."""
        return {view.encode(): version.encode() for view, version in self.versions.items()}


class SyncCursor:
    """The sync cursor of one version of a view in an online store, and the operations on it."""

    def __init__(self, store: OnlineStore, namespace: str, view: str, fingerprint: str) -> None:
        self._store = store
        self._name = naming.cursor_hash(namespace, view, fingerprint)

    def read(self) -> Cursor:
        """Return the current cursor."""
        return Cursor.from_fields(self._store.get_fields(self._name))

    def read_with_token(self) -> Cursor:
        """Return the cursor, after giving it a token if it has none."""
        cursor = self.read()
        if cursor.token is not None:
            return cursor
        # Another first sync may begin at this moment, and both must continue with one token.
        self._store.set_fields(self._name, Cursor(token=_new_token()).to_fields(), {b"token": None})
        return self.read()

    def move(self, seen: Cursor, moved: Cursor) -> bool:
        """Set the attributes of `moved` that are not None, in one step.

        Returns:
            Whether the cursor still had the token and the version of `seen`. If not, nothing was
            set.
        """
        known = seen.to_fields()
        expected = {name: known.get(name) for name in (b"token", b"version")}
        return self._store.set_fields(self._name, moved.to_fields(), expected)

    def reset(self, warehouse: str | None = None) -> None:
        """Go back to version 0 with a new token, so that a concurrent sync fails.

        Args:
            warehouse: the id of the warehouse whose values come next (default: unchanged).
        """
        reset = Cursor(version=0, token=_new_token(), warehouse=warehouse)
        self._store.set_fields(self._name, reset.to_fields())

    def remove(self) -> None:
        """Remove the cursor."""
        self._store.remove([self._name])


def read_claim(store: HashStore, namespace: str) -> Claim | None:
    """Return the claim on the namespace's values; None if no sync has recorded one yet."""
    fields = store.get_fields(naming.claim_hash(namespace))
    return Claim.from_fields(fields) if b"warehouse" in fields else None


def write_claim(
    store: HashStore, namespace: str, claim: Claim, *, only_first: bool = False
) -> None:
    """Record whose values the namespace holds; with `only_first`, only if none are recorded."""
    expected = {b"warehouse": None} if only_first else None
    store.set_fields(naming.claim_hash(namespace), claim.to_fields(), expected)


def read_pointers(store: HashStore, namespace: str) -> Pointers:
    """Return the version of each view that readers read."""
    return Pointers.from_fields(store.get_fields(naming.serving_hash(namespace)))


async def read_pointers_async(store: AsyncOnlineStore, namespace: str) -> Pointers:
    """Do the same as `read_pointers` in an event loop."""
    return Pointers.from_fields(await store.get_fields(naming.serving_hash(namespace)))


def point(store: HashStore, namespace: str, versions: Mapping[str, str]) -> None:
    """Point readers to versions (view -> fingerprint), all at once; other views keep theirs."""
    store.set_fields(naming.serving_hash(namespace), Pointers(versions).to_fields())


def _new_token() -> bytes:
    return secrets.token_bytes(8)


def _instant(raw: bytes) -> datetime:
    return utc(datetime.fromisoformat(raw.decode()))


def _encoded(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value.isoformat() if isinstance(value, datetime) else str(value)).encode()


_DECODERS: Mapping[str, Callable[[bytes], object]] = {
    "version": int,
    "token": bytes,
    "rows": int,
    "synced_at": _instant,
}
"""The decoders of the fields that are not text."""
