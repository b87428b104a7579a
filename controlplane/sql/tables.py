"""What the tables of one version of a view are called in SQL, and the types that they share."""

from __future__ import annotations

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import control_tables
from controlplane.sql.control_tables import LEDGER, METRICS, PUBLIC_VIEWS
from controlplane.sql.dialects import Dialect, dialect


def qualified(d: Dialect, schema: str, table: str) -> str:
    """`schema.table`, quoted."""
    return f"{d.quote(schema)}.{d.quote(table)}"


class Tables:
    """Every attribute is SQL text; of tables it is their full, quoted name."""

    def __init__(self, manifest: Manifest, view: ViewSpec) -> None:
        d = dialect(manifest.dialect)
        for name in ("timestamp", "int64", "bool"):
            setattr(self, name, d.type(name))
        self.schema = d.quote(manifest.schema)
        self.control = d.quote(naming.CONTROL_SCHEMA)
        head = control_tables.head(manifest.schema, view.name, view.fingerprint)
        made = {"ledger": LEDGER, "metrics": METRICS, "doors": PUBLIC_VIEWS, "head": head}
        self.ledger, self.metrics, self.doors_table, self.head = (
            table.quoted(d) for table in made.values()
        )
        self.create = {name: table.create(d).sql for name, table in made.items()}
        self.ledger_name = d.text(f"{manifest.schema}.{view.name}")
        self.fingerprint = d.text(view.fingerprint)
        self.tiles = qualified(d, manifest.schema, naming.tiles(view.name, view.fingerprint))
        self.history = qualified(d, manifest.schema, naming.history(view.name, view.fingerprint))
        self.replaced = qualified(
            d, manifest.schema, naming.history_replaced(view.name, view.fingerprint)
        )
        self.latest = qualified(d, manifest.schema, naming.latest(view.name, view.fingerprint))
        self.stage = f"{self.control}.{d.open_name('plane.stage')}"
        self.changes = f"{self.control}.{d.open_name('plane.stage', '__changes')}"
        self.run_id = d.open_text("plane.run_id")
        self.door = qualified(d, manifest.schema, naming.public_view(view.name))
        for part in naming.PARTS:
            setattr(
                self,
                f"door_{part}",
                qualified(d, manifest.schema, naming.public_view(view.name, part)),
            )
