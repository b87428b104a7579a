"""Checks whose values an online store holds: a namespace belongs to one schema of one warehouse.

Keys consist of names alone, so two warehouses with a project and an environment of the same names
would write the same keys. The first sync records its warehouse next to the values. A sync from
another warehouse is refused before it writes.
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
    """Return the claim that a sync from this warehouse records."""
    since = now.replace(microsecond=0).isoformat()
    location = warehouse.info().get("place", "")
    return Claim(identity.id, schema, location, identity.made_by, since)


def conflict(recorded: Claim | None, identity: Identity | None, schema: str) -> str:
    """Say which other warehouse the values of a namespace belong to; empty if they are ours."""
    if recorded is None or (
        identity and (recorded.warehouse, recorded.schema) == (identity.id, schema)
    ):
        return ""
    ours = f"warehouse {identity.id}, schema {schema}" if identity else "a warehouse without an id"
    return f"the online store holds the values of {recorded}; this environment is on {ours}"


def check(store: OnlineStore, namespace: str, identity: Identity | None, schema: str) -> None:
    """Refuse to compare or write values that belong to another warehouse.

    Raises:
        PermanentError: the values belong to another warehouse; nothing was written.
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
    """Record that the namespace's values come from this warehouse, unless another one has.

    A store that an earlier version wrote has no claim, so the next sync records one.

    Raises:
        PermanentError: the values belong to another warehouse; nothing was written.
    """
    if read_claim(store, namespace) is None:
        # Another first sync may do the same at this moment. One of them succeeds; both check again.
        write_claim(store, namespace, own(identity, warehouse, schema, now), only_first=True)
    check(store, namespace, identity, schema)


def check_cursor(cursor: Cursor, namespace: str, identity: Identity) -> None:
    """Refuse to continue from a cursor that another warehouse's sync left.

    A cluster may lose the namespace's claim and keep a cursor and values.

    Raises:
        PermanentError: the cursor is another warehouse's; nothing was written.
    """
    if cursor.warehouse not in (None, identity.id):
        raise PermanentError(
            f"the online store holds values of warehouse {cursor.warehouse}; this environment is on"
            f" warehouse {identity.id}; nothing was written to {namespace}",
            hint=REMEDY,
        )
