"""The names of the tables and public views of one version of a view, in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import control_tables
from controlplane.sql.control_tables import LEDGER, METRICS, PUBLIC_VIEWS, ControlTable
from controlplane.sql.dialects import Dialect, dialect


def qualified(d: Dialect, schema: str, table: str) -> str:
    """`schema.table`, quoted."""
    return f"{d.quote(schema)}.{d.quote(table)}"


RUN_TABLES = (
    "ledger",
    "metrics",
    "public_views_table",
    "head",
    "tiles",
    "rolled_up",
    "history",
    "replaced",
    "latest",
    "stage",
    "changes",
)
"""The attributes of `Tables` that name the tables which a run reads and writes, except sources."""


class SharedTable(NamedTuple):
    """A table of the control schema that all views share: its full, quoted name and its DDL."""

    name: str
    create: str


# The texts are the same for all views of a project, of which there may be thousands.
@lru_cache
def _shared(d: Dialect) -> Mapping[str, SharedTable]:
    tables: dict[str, ControlTable] = {"ledger": LEDGER, "metrics": METRICS, "doors": PUBLIC_VIEWS}
    return {key: SharedTable(t.quoted(d), t.create(d).sql) for key, t in tables.items()}


class Tables:
    """The tables and public views of one version of a view, as full, quoted names.

    Attributes:
        schema: The project's schema.
        control: The schema `_plane`.
        ledger: The ledger in `_plane`.
        metrics: The results of expectations in `_plane`.
        public_views_table: The table `_plane.doors`: the versions that public views show.
        head: The one-row table of this version in `_plane`.
        tiles: Partial aggregates for each key and tile.
        history: The change points.
        replaced: The rows of the history that healing replaced.
        latest: The newest row of each key.
        stage: The rows of a run; its name contains a variable of the run.
        changes: The changes of the history that a run computes, next to the stage.
        public_view: The public view of the history with its ends.
        public_history, public_history_replaced, public_latest, public_tiles: The public views of
            the tables.
        ledger_name: A literal: the view's name in the ledger.
        fingerprint: A literal: the version.
        run_id: A literal: a variable of the run.
        synced_version: A query for the version that a sync has read.
        timestamp, int64, bool: The types of columns that are the same in all views.
    """

    def __init__(self, manifest: Manifest, view: ViewSpec) -> None:
        d = dialect(manifest.dialect)
        schema, name, version = manifest.schema, view.name, view.fingerprint
        self._shared = _shared(d)
        self._head = control_tables.head(schema, name, version)
        self._d = d
        self.schema = d.quote(schema)
        self.control = d.quote(naming.CONTROL_SCHEMA)
        self.ledger = self._shared["ledger"].name
        self.metrics = self._shared["metrics"].name
        self.public_views_table = self._shared["doors"].name
        self.head = self._head.quoted(d)
        self.tiles = f"{self.schema}.{d.quote(naming.tiles(name, version))}"
        self.history = f"{self.schema}.{d.quote(naming.history(name, version))}"
        self.replaced = f"{self.schema}.{d.quote(naming.history_replaced(name, version))}"
        self.latest = f"{self.schema}.{d.quote(naming.latest(name, version))}"
        self.rolled_up = f"{self.schema}.{d.quote(naming.rollups(name, version))}"
        self.stage = f"{self.control}.{d.open_name('plane.stage')}"
        self.changes = f"{self.control}.{d.open_name('plane.stage', '__changes')}"
        self.public_view = f"{self.schema}.{d.quote(naming.public_view(name))}"
        self.public_history = f"{self.schema}.{d.quote(naming.public_view(name, 'history'))}"
        self.public_history_replaced = (
            f"{self.schema}.{d.quote(naming.public_view(name, 'history_replaced'))}"
        )
        self.public_latest = f"{self.schema}.{d.quote(naming.public_view(name, 'latest'))}"
        self.public_tiles = f"{self.schema}.{d.quote(naming.public_view(name, 'tiles'))}"
        self.ledger_name = d.text(f"{schema}.{name}")
        self.fingerprint = d.text(version)
        self.run_id = d.open_text("plane.run_id")
        self.synced_version = control_tables.synced_version(
            d, self.head, self.ledger_name, self.fingerprint
        )
        self.timestamp, self.int64, self.bool = map(d.type, ("timestamp", "int64", "bool"))

    @cached_property
    def create(self) -> Mapping[str, str]:
        """The CREATE statements of `ledger`, `metrics`, `doors` and `head`."""
        shared = {key: table.create for key, table in self._shared.items()}
        return {**shared, "head": self._head.create(self._d).sql}
