"""The identity of a warehouse: a random id in `_plane.identity`, made by the first deploy.

Projects and environments are named by people, so two of them may have the same names over two
warehouses. The id tells such warehouses apart where they meet, which is in an online store.
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
    """A warehouse: its random id, when that was made, and by whom (`user@host`)."""

    id: str
    made_at: datetime
    made_by: str


def read(warehouse: Warehouse) -> Identity | None:
    """Return the identity; None where no deploy of this version has made one yet."""
    rows = ledger.read_table(warehouse, IDENTITY, " ORDER BY made_at, id")
    if not rows:
        return None
    return Identity(rows[0]["id"], utc(rows[0]["made_at"]), rows[0]["made_by"])


def ensure(warehouse: Warehouse, *, made_by: str, now: datetime) -> Identity:
    """Return the identity, after making it where there is none.

    Deploys at the same time agree on one.
    """
    d = dialect(warehouse.dialect)
    literals = {
        "id": d.text(secrets.token_hex(8)),
        "made_at": d.instant(now),
        "made_by": d.text(made_by),
    }
    return single_row.ensure(warehouse, IDENTITY, literals, lambda: read(warehouse))
