"""The version of the control schema: a deploy brings an earlier one up to date.

`_plane.schema_version` has one row, the version that all shared control tables have. A warehouse
without that table has version 1, whichever controlplane deployed there; one without any control
table gets the latest version with its first deploy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.base import naming
from controlplane.base.ports import Statement, Warehouse
from controlplane.control import ledger, single_row
from controlplane.control.columns import Catalogue, differences
from controlplane.errors import PermanentError
from controlplane.sql.control_tables import SCHEMA_VERSION, SHARED
from controlplane.sql.dialects import Dialect, dialect

FIRST_VERSION = 1


@dataclass(frozen=True)
class Migration:
    """A step from one version of the control schema to the next.

    Attributes:
        version: what the schema has afterwards; each migration has the next number.
        statements: returns what is left to do, from the dialect and from the control tables'
            columns as they are (`schema.table` -> columns). A deploy may be stopped after any of
            the statements; the next one asks again and runs what is returned then. So each of them
            may be run twice, or is left out once the columns show its effect: Databricks, for one,
            has no ADD COLUMN IF NOT EXISTS.
    """

    version: int
    statements: Callable[[Dialect, Catalogue], Sequence[Statement]]


MIGRATIONS: tuple[Migration, ...] = ()
"""In order, the first for version 2. There is none yet: no control table has changed since the
first release. Plans read before their deploy migrates: readers must know the version before,
too."""


def latest(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version that this controlplane reads and writes."""
    return migrations[-1].version if migrations else FIRST_VERSION


def check(warehouse: Warehouse, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version of the control schema, after checking that it can be read.

    Raises:
        PermanentError: a newer controlplane has migrated it, or somebody has altered its tables.
    """
    return _known(warehouse, _columns(warehouse), migrations)


def pending(version: int, migrations: Sequence[Migration] = MIGRATIONS) -> str:
    """Say what a deploy does to a control schema of this version; empty if nothing."""
    if version == latest(migrations):
        return ""
    return (
        f"has version {version} of the control tables, which a deploy brings to version"
        f" {latest(migrations)}"
    )


def upgrade(
    warehouse: Warehouse, *, now: datetime, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the control schema up to date, and record its version. Run again, it does what is left.

    Raises:
        PermanentError: as in `check`; nothing was written.
    """
    d = dialect(warehouse.dialect)
    known = _known(warehouse, _columns(warehouse), migrations)
    single_row.ensure(
        warehouse,
        SCHEMA_VERSION,
        {"version": str(known), "migrated_at": d.instant(now)},
        lambda: _recorded(warehouse),
    )
    for migration in migrations:
        if migration.version > known:
            statements = migration.statements(d, _columns(warehouse))
            warehouse.execute([*statements, _record(d, migration.version, now)])


def _known(warehouse: Warehouse, columns: Catalogue, migrations: Sequence[Migration]) -> int:
    version = _recorded(warehouse)
    if version is None:
        made = any(columns[table.plain] is not None for table in SHARED)
        version = FIRST_VERSION if made else latest(migrations)
    if version > latest(migrations):
        raise PermanentError(
            f"the warehouse has version {version} of the control tables in {naming.CONTROL_SCHEMA},"
            f" and this controlplane knows versions up to {latest(migrations)}",
            hint="update controlplane to the release that others deploy with",
        )
    if version == latest(migrations):
        _check_columns(columns)
    return version


def _check_columns(columns: Catalogue) -> None:
    problems = [
        f"{table.plain} {problem}"
        for table in SHARED
        if (existing := columns[table.plain]) is not None
        and (problem := differences(table.columns, existing))
    ]
    if problems:
        raise PermanentError(
            f"control tables were altered: {'; '.join(problems)}",
            hint="undo the change; or drop the table, which is then made again without its rows",
        )


def _columns(warehouse: Warehouse) -> Catalogue:
    return warehouse.columns([table.plain for table in SHARED])


def _recorded(warehouse: Warehouse) -> int | None:
    if warehouse.columns([SCHEMA_VERSION.plain])[SCHEMA_VERSION.plain] is None:
        return None
    # Not all columns: a newer controlplane may have added some.
    rows = ledger.rows(
        warehouse, f"SELECT version FROM {SCHEMA_VERSION.quoted(dialect(warehouse.dialect))}"
    )
    return max((row["version"] for row in rows), default=None)


def _record(d: Dialect, version: int, now: datetime) -> Statement:
    sql = (
        f"UPDATE {SCHEMA_VERSION.quoted(d)} SET version = {version}, migrated_at = {d.instant(now)}"
    )
    return Statement(
        f"record version {version} of the control tables", f"{sql} WHERE version < {version}"
    )
