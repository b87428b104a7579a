"""The tables of the control schema `_plane`: names, columns, and CREATE statements.

The tables are declared here because a release's SQL is rendered from them. The package `control`
reads them, compares them with the warehouse and migrates them. Once projects have a table, changing
its name or columns takes a migration (`control.migrations`). `docs/tables.md` lists them for users.
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
        name: its name, without the schema.
        columns: name -> canonical type, in order.
        nullable: the columns that may be null.
        written_by_views: whether runs of several views write to it at the same time. A warehouse
            that locks partitions gets one partition for each view.
    """

    name: str
    columns: Mapping[str, str]
    nullable: frozenset[str] = frozenset()
    written_by_views: bool = False

    @property
    def plain(self) -> str:
        """The name as `Warehouse.columns` takes it."""
        return f"{naming.CONTROL_SCHEMA}.{self.name}"

    def quoted(self, d: Dialect) -> str:
        """Return the full name as SQL text."""
        return f"{d.quote(naming.CONTROL_SCHEMA)}.{d.quote(self.name)}"

    def create(self, d: Dialect) -> Statement:
        """Return the statement that creates the table if it is missing."""
        columns = ",\n".join(
            f"  {name} {d.type(column_type)}{'' if name in self.nullable else ' NOT NULL'}"
            for name, column_type in self.columns.items()
        )
        partitions = d.partitioned_by_view if self.written_by_views else ""
        sql = f"CREATE TABLE IF NOT EXISTS {self.quoted(d)} (\n{columns}\n){partitions}"
        return Statement(f"create the table {self.plain}", sql, "create_table", self.quoted(d))

    def select(self, d: Dialect) -> str:
        """Return the query for all rows."""
        return f"SELECT {', '.join(self.columns)} FROM {self.quoted(d)}"


_VERSION = {"feature_view": "string", "fingerprint": "string"}
_INTERVAL = {"interval_start": "timestamp", "interval_end": "timestamp", "run_id": "string"}

SCHEMA_VERSION = ControlTable("schema_version", {"version": "int64", "migrated_at": "timestamp"})
"""One row: the version of the control schema. A warehouse without this table has version 1."""

IDENTITY = ControlTable("identity", {"id": "string", "made_at": "timestamp", "made_by": "string"})
"""One row, which never changes: the identity of this warehouse."""

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
"""One row a schema: the environment that deploys to it, and its last deployment.

`deployment` is 0 while the first deployment runs, until that deployment is recorded.
"""

DEPLOYED = ControlTable("deployed", _VERSION, written_by_views=True)
"""One row a view: its deployed version. Only runs of this version may change the public views."""

PUBLIC_VIEWS = ControlTable("doors", _VERSION, written_by_views=True)
# The table keeps its old name `doors`: renaming it would be a migration of every warehouse.
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
"""One row for each expectation and run. `source` is null for expectations of the view itself."""

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
"""All control tables except the heads: each version of a view has a head of its own."""


def head(schema: str, view: str, fingerprint: str) -> ControlTable:
    """Declare the one-row table with a version's newest publication and its watermark.

    Every publication updates the row first, so that the writers of one version wait for each other.
    The columns `frontier` and `earlier_frontier` hold the watermark and the one before it.
    """
    return ControlTable(
        naming.head(schema, view, fingerprint),
        {
            "version": "int64",
            # Old names: new ones would be a migration of the head of every version.
            "frontier": "timestamp",
            "earlier_frontier": "timestamp",
            "run_id": "string",
        },
    )


def synced_version(d: Dialect, head_table: str, feature_view: str, fingerprint: str) -> str:
    """Render a query for the version that a sync has read when it has read all newest rows.

    All publications up to it are complete. Without transactions, the head has the version of a
    publication from its start on, and the ledger has it from its end on. In between, and after a
    take-over or an erasure, which publish nothing, it is the version just before the head's.

    Args:
        d: the dialect.
        head_table: the quoted name of the head.
        feature_view: a literal, the view's name in the ledger.
        fingerprint: a literal, the version of the view.
    """
    if d.transactional:
        return f"SELECT version FROM {head_table}"
    return (
        "SELECT max(h.version - CASE WHEN l.version IS NULL THEN 1 ELSE 0 END) AS version"
        f" FROM {head_table} AS h LEFT JOIN {LEDGER.quoted(d)} AS l"
        f" ON l.feature_view = {feature_view} AND l.fingerprint = {fingerprint}"
        " AND l.version = h.version"
    )


def create_schema(d: Dialect) -> Statement:
    """Return the statement that creates the control schema if it is missing."""
    schema = d.quote(naming.CONTROL_SCHEMA)
    return Statement(
        "create the control schema",
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        "create_schema",
        schema,
    )
