"""The control tables of this room: their names, their columns, and the statements that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.base import naming
from controlplane.base.ports import Statement
from controlplane.sql.dialects import Dialect
from controlplane.sql.tables import qualified


@dataclass(frozen=True)
class ControlTable:
    """A table of the control schema: column -> canonical type; no column may be null."""

    name: str
    columns: Mapping[str, str]

    @property
    def plain(self) -> str:
        """Its name as `Warehouse.columns` takes it."""
        return f"{naming.CONTROL_SCHEMA}.{self.name}"

    def quoted(self, d: Dialect) -> str:
        """Its full name in SQL text."""
        return qualified(d, naming.CONTROL_SCHEMA, self.name)

    def create(self, d: Dialect) -> Statement:
        """The statement that makes it where it is missing."""
        columns = ", ".join(f"{name} {d.type(kind)} NOT NULL" for name, kind in self.columns.items())
        sql = f"CREATE TABLE IF NOT EXISTS {self.quoted(d)} ({columns})"
        return Statement(f"create the table {self.plain}", sql)

    def select(self, d: Dialect) -> str:
        """The query for its rows."""
        return f"SELECT {', '.join(self.columns)} FROM {self.quoted(d)}"


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


def create_schema(d: Dialect) -> Statement:
    """The statement that makes the control schema where it is missing."""
    sql = f"CREATE SCHEMA IF NOT EXISTS {d.quote(naming.CONTROL_SCHEMA)}"
    return Statement("create the control schema", sql)
