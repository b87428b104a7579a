"""The identity of a warehouse: a random id in `_plane.identity`, created by the first deploy.

People name projects and environments, so the same names may exist over two warehouses. The id tells
these warehouses apart in an online store that both write to.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import Warehouse
from controlplane.base.types import utc
from controlplane.control import ledger, single_row
from controlplane.sql.control_tables import IDENTITY
from controlplane.sql.dialects import dialect


@dataclass(frozen=True)
class Identity:
    """A warehouse's random id, with the time and the user (`user@host`) of its creation."""

    id: str
    made_at: datetime
    made_by: str


def read(warehouse: Warehouse) -> Identity | None:
    """Return the identity; None if no deploy of this version has created one yet."""
    # Two first deploys at once may both leave a row; all readers agree on the earlier one.
    rows = ledger.read_table(warehouse, IDENTITY, " ORDER BY made_at, id")
    if not rows:
        return None
    return Identity(rows[0]["id"], utc(rows[0]["made_at"]), rows[0]["made_by"])


def ensure(warehouse: Warehouse, *, made_by: str, now: datetime) -> Identity:
    """Return the identity, after creating it if there is none.

    Deploys at the same time agree on one identity.
    """
    d = dialect(warehouse.dialect)
    literals = {
        "id": d.text(secrets.token_hex(8)),
        "made_at": d.instant(now),
        "made_by": d.text(made_by),
    }
    return single_row.ensure(warehouse, IDENTITY, literals, lambda: read(warehouse))
