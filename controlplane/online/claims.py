"""Whose values an online store holds: each namespace belongs to one schema of one warehouse.

Keys are made of names alone, so two warehouses with a project and an environment of the same
names would write the same keys. The first sync records its warehouse beside the values; a sync
from another one is refused before it writes.
"""

from __future__ import annotations

from datetime import datetime

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.control.identity import Identity
from controlplane.errors import PermanentError
from controlplane.online.records import Claim, Cursor, read_claim, write_claim

REMEDY = (
    "give this environment another name in plane.toml; or, if the other warehouse is gone or no "
    "longer used, replace all its values with `plane online take-over`"
)


def own(identity: Identity, warehouse: Warehouse, schema: str, now: datetime) -> Claim:
    """Return what a sync from this warehouse records."""
    since = now.replace(microsecond=0).isoformat()
    place = warehouse.info().get("place", "")
    return Claim(identity.id, schema, place, identity.made_by, since)


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
    if text := conflict(read_claim(store, namespace), identity, schema):
        raise PermanentError(f"{text}; nothing was written to {namespace}", hint=REMEDY)


def claim(
    store: OnlineStore,
    namespace: str,
    warehouse: Warehouse,
    identity: Identity,
    schema: str,
    now: datetime,
) -> None:
    """Record that the namespace's values come from this warehouse, unless they are another's.

    A store that an earlier version wrote has no record, so its first sync records one.

    Raises:
        PermanentError: the values are another warehouse's; nothing was written.
    """
    if read_claim(store, namespace) is None:
        # Another first sync may do the same at this moment: one of them succeeds, both look again.
        write_claim(store, namespace, own(identity, warehouse, schema, now), only_first=True)
    check(store, namespace, identity, schema)


def check_cursor(cursor: Cursor, namespace: str, identity: Identity) -> None:
    """Refuse to go on from a cursor that another warehouse's sync has left.

    On a cluster the namespace's record may be lost where a cursor and values are not.

    Raises:
        PermanentError: it is another's; nothing was written.
    """
    if cursor.warehouse not in (None, identity.id):
        raise PermanentError(
            f"the online store holds values of warehouse {cursor.warehouse}; this environment is on"
            f" warehouse {identity.id}; nothing was written to {namespace}",
            hint=REMEDY,
        )
