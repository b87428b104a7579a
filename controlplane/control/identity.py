"""The identity of a warehouse: a random id in `_plane.identity`, made by the first deploy.

Projects and environments are named by people, so two of them may have the same names over two
warehouses. The id tells such warehouses apart where they meet, which is in an online store.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import utc
from controlplane.control import ledger
from controlplane.control.tables import IDENTITY, create_schema
from controlplane.errors import TransientError
from controlplane.sql.dialects import dialect

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Identity:
    """A warehouse: its random id, when that was made, and by whom (`user@host`)."""

    id: str
    made_at: datetime
    made_by: str


def read(warehouse: Warehouse) -> Identity | None:
    """Return the identity; None where no deploy of this version has made one yet."""
    if warehouse.columns([IDENTITY.plain])[IDENTITY.plain] is None:
        return None
    d = dialect(warehouse.dialect)
    rows = ledger.rows(warehouse, f"{IDENTITY.select(d)} ORDER BY made_at, id")
    if not rows:
        return None
    return Identity(rows[0]["id"], utc(rows[0]["made_at"]), rows[0]["made_by"])


def ensure(warehouse: Warehouse, *, made_by: str, now: datetime) -> Identity:
    """Return the identity, and make it first where there is none.

    Deploys that run at the same time agree on one: the table is made together with its row, and
    only one CREATE TABLE can succeed.
    """
    if (known := read(warehouse)) is not None:
        return known
    d = dialect(warehouse.dialect)
    values = {
        "id": d.cast(d.text(secrets.token_hex(8)), "string"),
        "made_at": d.cast(d.instant(now), "timestamp"),
        "made_by": d.cast(d.text(made_by), "string"),
    }
    row = ", ".join(f"{values[name]} AS {name}" for name in IDENTITY.columns)
    table = IDENTITY.quoted(d)
    statements = [
        create_schema(d),
        Statement("make the identity", f"CREATE TABLE IF NOT EXISTS {table} AS SELECT {row}"),
        # Does nothing unless somebody has removed the row.
        Statement(
            "restore the identity's row",
            f"INSERT INTO {table} SELECT {row} FROM (SELECT 1 AS one) AS single "
            f"WHERE NOT EXISTS (SELECT 1 FROM {table})",
        ),
    ]
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            warehouse.execute(statements)
        except TransientError:
            # Another deploy makes it at the same moment, and the warehouse refused this one.
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_SECONDS * attempt)
        if (known := read(warehouse)) is not None:
            return known
    hint = "look at who drops tables of `_plane`, and deploy again"
    raise TransientError(f"{IDENTITY.plain} is removed as soon as it is made", hint=hint)
