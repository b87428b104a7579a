"""Every table of the control schema `_plane`: its name, its columns, and the statement that makes
it.

They are declared here because a release's SQL is rendered from them. The room `control` reads them,
compares them with the warehouse and migrates them. A table keeps its name and columns once projects
have it: a change is a migration (`control.migrations`). `docs/tables.md` lists them for users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.base import naming
from controlplane.base.ports import Statement
from controlplane.sql.dialects import Dialect


@dataclass(frozen=True)
class ControlTable:
    """A table of the control schema.

    Attributes:
        name: without the schema.
        columns: name -> canonical type, in order.
        nullable: the columns that may be null.
        written_by_views: whether runs of several views write into it, so that a warehouse with
            locks per partition keeps their rows apart.
    """

    name: str
    columns: Mapping[str, str]
    nullable: frozenset[str] = frozenset()
    written_by_views: bool = False

    @property
    def plain(self) -> str:
        """Its name as `Warehouse.columns` takes it."""
        return f"{naming.CONTROL_SCHEMA}.{self.name}"

    def quoted(self, d: Dialect) -> str:
        """Its full name in SQL text."""
        return f"{d.quote(naming.CONTROL_SCHEMA)}.{d.quote(self.name)}"

    def create(self, d: Dialect) -> Statement:
        """The statement that makes it where it is missing."""
        columns = ",\n".join(
            f"  {name} {d.type(kind)}{'' if name in self.nullable else ' NOT NULL'}"
            for name, kind in self.columns.items()
        )
        partitions = d.apart if self.written_by_views else ""
        sql = f"CREATE TABLE IF NOT EXISTS {self.quoted(d)} (\n{columns}\n){partitions}"
        return Statement(f"create the table {self.plain}", sql)

    def select(self, d: Dialect) -> str:
        """The query for its rows."""
        return f"SELECT {', '.join(self.columns)} FROM {self.quoted(d)}"


_VERSION = {"feature_view": "string", "fingerprint": "string"}
_INTERVAL = {"interval_start": "timestamp", "interval_end": "timestamp", "run_id": "string"}

SCHEMA_VERSION = ControlTable("schema_version", {"version": "int64", "migrated_at": "timestamp"})
"""One row: the version that all tables of the control schema have. Warehouses that lack it have
version 1."""

IDENTITY = ControlTable("identity", {"id": "string", "made_at": "timestamp", "made_by": "string"})
"""One row, which is never changed: what tells this warehouse from every other one."""

OWNERS = ControlTable(
    "owners",
    {
        "schema_name": "string",
        "project": "string",
        "environment": "string",
        "deployment": "int64",
        "release_digest": "string",
        "deployed_by": "string",
        "deployed_at": "timestamp",
    },
)
"""One row a schema: the environment that deploys to it, and its last deployment. The number is 0
from the beginning of the first deployment until that is recorded."""

DEPLOYED = ControlTable("deployed", _VERSION, written_by_views=True)
"""One row a view: the version that is deployed. A run of another version shows nothing."""

PUBLIC_VIEWS = ControlTable("doors", _VERSION, written_by_views=True)
"""One row a view: the version that its public views show."""

LEDGER = ControlTable(
    "ledger",
    {
        **_VERSION,
        **_INTERVAL,
        "version": "int64",
        "published_at": "timestamp",
        "row_count": "int64",
        "dropped_count": "int64",
    },
    written_by_views=True,
)
"""One row a publication. `version` is its time in microseconds on the warehouse's clock."""

METRICS = ControlTable(
    "metrics",
    {
        **_VERSION,
        **_INTERVAL,
        "source": "string",
        "name": "string",
        "severity": "string",
        "row_count": "int64",
        "failed_count": "int64",
        "passed": "bool",
        "observed": "string",
        "checked_at": "timestamp",
    },
    nullable=frozenset({"source", "observed"}),
    written_by_views=True,
)
"""One row an expectation and run.

`source` is null where it is about what the view's SQL returns.
"""

DATASETS = ControlTable(
    "datasets",
    {
        "name": "string",
        "version": "int64",
        "service": "string",
        "definition": "string",
        "row_count": "int64",
        "created_by": "string",
        "created_at": "timestamp",
    },
)
"""One row a version of a training set. `definition` is JSON."""

SHARED = (SCHEMA_VERSION, IDENTITY, OWNERS, DEPLOYED, PUBLIC_VIEWS, LEDGER, METRICS, DATASETS)
"""All tables but the heads, of which each version of a view has its own."""


def head(schema: str, view: str, fingerprint: str) -> ControlTable:
    """The one-row table of a version of a view: its newest publication, and how far it is computed.

    Every publication updates the row first, so that writers of one version follow each other.
    """
    return ControlTable(
        naming.head(schema, view, fingerprint),
        {
            "version": "int64",
            "frontier": "timestamp",
            "earlier_frontier": "timestamp",
            "run_id": "string",
        },
    )


def create_schema(d: Dialect) -> Statement:
    """The statement that makes the control schema where it is missing."""
    sql = f"CREATE SCHEMA IF NOT EXISTS {d.quote(naming.CONTROL_SCHEMA)}"
    return Statement("create the control schema", sql)
