"""The owner of a schema: the one environment of one project that deploys to it and runs in it.

Two environments that write the same tables and public views overwrite each other without an error.
So the first deploy records its environment in `_plane.owners`, and every other environment is
refused. The row also names the last deployment, which reveals a second state database over the same
warehouse.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import format_instant, utc
from controlplane.control import ledger, migrations
from controlplane.errors import PermanentError
from controlplane.sql.control_tables import OWNERS, SCHEMA_VERSION, create_schema
from controlplane.sql.dialects import Dialect, dialect

OTHER_SCHEMA = (
    "give this environment a schema of its own (`schema = ...` in plane.toml), or, if the owner no "
    "longer uses it, take it over with `plane deploy --adopt`"
)
OTHER_STATE = (
    "set `state` in plane.toml to the database that the others deploy with, or make this one the "
    "only one with `plane deploy --adopt`"
)
"""Remedies of the two conflicts."""


@dataclass(frozen=True)
class Owner:
    """The owner of a schema, and its last deployment; number 0 if none is recorded yet."""

    schema: str
    project: str
    environment: str
    deployment: int
    release: str
    deployed_by: str
    deployed_at: datetime

    def __str__(self) -> str:
        number = f"deployment {self.deployment}" if self.deployment else "its first deployment"
        at = format_instant(self.deployed_at.replace(microsecond=0))
        return (
            f"environment {self.environment!r} of project {self.project!r} ({number}, by"
            f" {self.deployed_by} at {at})"
        )


# Two first deploys at once may both leave a row; all readers agree on the earlier one.
_EARLIEST = "ORDER BY deployed_at, project, environment"


def read(warehouse: Warehouse, schema: str) -> Owner | None:
    """Return the owner of a schema; None if no deploy of this version has recorded one."""
    rows = ledger.read_table(
        warehouse, OWNERS, f"{_of(schema, dialect(warehouse.dialect))} {_EARLIEST}"
    )
    return _owner(rows[0]) if rows else None


def _of(schema: str, d: Dialect) -> str:
    return f" WHERE schema_name = {d.text(schema)}"


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(
        schema=row["schema_name"],
        project=row["project"],
        environment=row["environment"],
        deployment=row["deployment"],
        release=row["release_digest"],
        deployed_by=row["deployed_by"],
        deployed_at=utc(row["deployed_at"]),
    )


def conflict(owner: Owner | None, schema: str, project: str, environment: str) -> str:
    """Say which other environment or project owns a schema; empty if none does."""
    if owner is None or (owner.project, owner.environment) == (project, environment):
        return ""
    return (
        f"environment {environment!r} of project {project!r} may not write to schema {schema!r}: it"
        f" belongs to {owner}"
    )


def check(warehouse: Warehouse, schema: str, project: str, environment: str) -> Owner | None:
    """Return the owner of a schema, and refuse other environments.

    Raises:
        PermanentError: another environment or project owns it.
    """
    owner = read(warehouse, schema)
    if text := conflict(owner, schema, project, environment):
        raise PermanentError(text, hint=OTHER_SCHEMA)
    return owner


def check_run(warehouse: Warehouse, schema: str, project: str, environment: str) -> None:
    """Check before a run writes: the owner of its schema, and the version of the control tables.

    One query reads both.

    Raises:
        PermanentError: another environment or project owns the schema, or this controlplane is
            older or newer than the control tables.
    """
    d = dialect(warehouse.dialect)
    existing = warehouse.columns([OWNERS.plain, SCHEMA_VERSION.plain])
    if existing[OWNERS.plain] is None:
        return  # the control tables are lost, or the first deploy is yet to come
    version = d.cast("NULL", "int64")
    if existing[SCHEMA_VERSION.plain] is not None:
        version = f"(SELECT max(version) FROM {SCHEMA_VERSION.quoted(d)})"
    rows = ledger.rows(
        warehouse,
        f"SELECT v.control_version, o.* FROM (SELECT {version} AS control_version) AS v"
        f" LEFT JOIN ({OWNERS.select(d)}{_of(schema, d)}) AS o ON TRUE {_EARLIEST}",
    )
    migrations.check_for_writing(rows[0]["control_version"])
    owner = _owner(rows[0]) if rows[0]["schema_name"] is not None else None
    if text := conflict(owner, schema, project, environment):
        raise PermanentError(text, hint=OTHER_SCHEMA)


def unknown_deployment(
    owner: Owner | None,
    known: bool,
    deployed_versions: Collection[tuple[str, str]],
    known_versions: Collection[tuple[str, str]],
) -> str:
    """Say who deployed to the schema with another state database; empty if nobody did.

    Args:
        owner: the schema's owner in the warehouse.
        known: whether the state database has the owner's last deployment.
        deployed_versions: (view, fingerprint) of the schema in `_plane.deployed`.
        known_versions: (view, fingerprint) of the state's current deployment.
    """
    if owner is not None:
        # Number 0: the first deployment was stopped before any state recorded it.
        if known or owner.deployment == 0:
            return ""
        return (
            f"schema {owner.schema!r} of the warehouse was deployed with another state database: "
            f"{owner} is not recorded in this one"
        )
    # An earlier version of controlplane deployed here. It recorded only the versions.
    unknown = sorted(set(deployed_versions) - set(known_versions))
    if not unknown:
        return ""
    names = ", ".join(f"{view} {fingerprint}" for view, fingerprint in unknown)
    return (
        f"the warehouse was deployed with another state database: {names} "
        f"{'is' if len(unknown) == 1 else 'are'} not recorded in this one"
    )


def prepare(d: Dialect) -> list[Statement]:
    """Return the statements that create the table of owners if it is missing."""
    return [create_schema(d), OWNERS.create(d)]


def claim(d: Dialect, owner: Owner) -> Statement:
    """Return the statement that records the owner of a schema, unless it has one."""
    return _merge(d, owner, replace=False)


def record(d: Dialect, owner: Owner) -> Statement:
    """Return the statement that records the owner of a schema and its last deployment."""
    return _merge(d, owner, replace=True)


def _merge(d: Dialect, owner: Owner, *, replace: bool) -> Statement:
    values = {
        "schema_name": d.text(owner.schema),
        "project": d.text(owner.project),
        "environment": d.text(owner.environment),
        "deployment": str(owner.deployment),
        "release_digest": d.text(owner.release),
        "deployed_by": d.text(owner.deployed_by),
        "deployed_at": d.instant(owner.deployed_at),
    }
    row = ", ".join(
        f"{d.cast(values[name], column_type)} AS {name}"
        for name, column_type in OWNERS.columns.items()
    )
    names = list(OWNERS.columns)
    # MERGE, since Snowflake and Databricks have no INSERT ... ON CONFLICT.
    updated = ", ".join(f"{name} = n.{name}" for name in names[1:])
    sql = (
        f"MERGE INTO {OWNERS.quoted(d)} AS o USING (SELECT {row}) AS n "
        "ON o.schema_name = n.schema_name"
        + (f" WHEN MATCHED THEN UPDATE SET {updated}" if replace else "")
        + f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
        f"VALUES ({', '.join(f'n.{name}' for name in names)})"
    )
    return Statement("record the owner of the schema", sql)
