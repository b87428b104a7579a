"""Whose values an online store holds: each namespace belongs to one schema of one warehouse.

Keys are made of names alone, so two warehouses with a project and an environment of the same
names would write the same keys. The first sync records its warehouse beside the values; a sync
from another one is refused before it writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.control.identity import Identity
from controlplane.errors import PermanentError

CURSOR_FIELD = b"warehouse"
"""Of a sync's cursor: the id of the warehouse whose version it holds."""
REMEDY = (
    "give this environment another name in plane.toml; or, if the other warehouse is gone or no "
    "longer used, replace all its values with `plane online take-over`"
)


@dataclass(frozen=True)
class Claim:
    """The warehouse and schema that a namespace's values come from.

    Attributes:
        warehouse: the id, see `control.identity`.
        schema: where its tables are.
        place: the warehouse as its connector calls it, such as a file or an account.
        made_by: who made its first deployment, as `user@host`.
        since: when the first sync recorded it, in ISO 8601.
    """

    warehouse: str
    schema: str
    place: str
    made_by: str
    since: str

    def same(self, other: Claim) -> bool:
        """Whether both are of one schema of one warehouse."""
        return (self.warehouse, self.schema) == (other.warehouse, other.schema)

    def __str__(self) -> str:
        by = f", first deployed by {self.made_by}" if self.made_by else ""
        since = f", synced since {self.since}" if self.since else ""
        return f"warehouse {self.warehouse} ({self.place}, schema {self.schema}{by}{since})"


def own(identity: Identity, warehouse: Warehouse, schema: str, now: datetime) -> Claim:
    """Return what a sync from this warehouse records."""
    since = now.replace(microsecond=0).isoformat()
    place = warehouse.info().get("place", "")
    return Claim(identity.id, schema, place, identity.made_by, since)


def read(store: OnlineStore, namespace: str) -> Claim | None:
    """Return whose values the namespace holds; None where no sync has recorded it yet."""
    fields = store.get_fields(naming.claim_hash(namespace))
    if b"warehouse" not in fields:
        return None
    text = {name.decode(): value.decode() for name, value in fields.items()}
    names = ("warehouse", "schema", "place", "made_by", "since")
    return Claim(**{name: text.get(name, "") for name in names})


def conflict(found: Claim | None, identity: Identity | None, schema: str) -> str:
    """Say whose the values of a namespace are, if they are another warehouse's; empty otherwise."""
    if found is None or (identity and (found.warehouse, found.schema) == (identity.id, schema)):
        return ""
    this = f"warehouse {identity.id}, schema {schema}" if identity else "a warehouse without an id"
    return f"the online store holds the values of {found}; this environment is on {this}"


def check(store: OnlineStore, namespace: str, identity: Identity | None, schema: str) -> None:
    """Refuse to compare or write values that belong to another warehouse.

    Raises:
        PermanentError: they do; nothing was written.
    """
    if text := conflict(read(store, namespace), identity, schema):
        raise PermanentError(f"{text}; nothing was written to {namespace}", hint=REMEDY)


def claim(
    store: OnlineStore, namespace: str, warehouse: Warehouse, identity: Identity, schema: str, now: datetime
) -> None:
    """Record that the namespace's values come from this warehouse, unless they are another's.

    A store that an earlier version wrote has no record, so its first sync records one.

    Raises:
        PermanentError: the values are another warehouse's; nothing was written.
    """
    found = read(store, namespace)
    if found is None:
        # Another first sync may do the same at this moment: one of them succeeds, both look again.
        put(store, namespace, own(identity, warehouse, schema, now), expected_absent=True)
    check(store, namespace, identity, schema)


def put(store: OnlineStore, namespace: str, mine: Claim, *, expected_absent: bool = False) -> None:
    """Record a claim: over an earlier one, or only where there is none."""
    texts = {
        "warehouse": mine.warehouse,
        "schema": mine.schema,
        "place": mine.place,
        "made_by": mine.made_by,
        "since": mine.since,
    }
    fields = {name.encode(): text.encode() for name, text in texts.items()}
    expected = {b"warehouse": None} if expected_absent else None
    store.set_fields(naming.claim_hash(namespace), fields, expected)


def check_cursor(cursor: dict[bytes, bytes], namespace: str, identity: Identity) -> None:
    """Refuse to go on from a cursor that another warehouse's sync has left.

    On a cluster the namespace's record may be lost where a cursor and values are not.

    Raises:
        PermanentError: it is another's; nothing was written.
    """
    left_by = cursor.get(CURSOR_FIELD, identity.id.encode()).decode()
    if left_by != identity.id:
        raise PermanentError(
            f"the online store holds values of warehouse {left_by}; this environment is on "
            f"warehouse {identity.id}; nothing was written to {namespace}",
            hint=REMEDY,
        )
