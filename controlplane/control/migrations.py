"""The version of the control schema, and its migrations, which a deploy runs.

`_plane.schema_version` has one row: the version of all shared control tables. A warehouse without
that table has version 1. A warehouse without any control table gets the latest version with its
first deploy.
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
        version: the schema's version after the migration; each migration has the next number.
        statements: returns the statements that are left to run, from the dialect and the control
            tables' current columns (`schema.table` -> columns). A deploy may be stopped after any
            statement; the next deploy calls this again. So each statement may run twice, or is left
            out once the columns show its effect: Databricks, for one, has no ADD COLUMN IF NOT
            EXISTS.
    """

    version: int
    statements: Callable[[Dialect, Catalogue], Sequence[Statement]]


MIGRATIONS: tuple[Migration, ...] = ()
"""All migrations in order, the first one to version 2. None exists yet."""
# A plan reads the control tables before its deploy migrates them. So readers must also support the
# version before the latest one.


def latest(migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version that this controlplane reads and writes."""
    return migrations[-1].version if migrations else FIRST_VERSION


def check(warehouse: Warehouse, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version of the control schema, after checking that it can be read.

    Raises:
        PermanentError: a newer controlplane has migrated it, or its tables were altered.
    """
    return _known(warehouse, _columns(warehouse), migrations)


def check_for_writing(recorded: int | None, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Check that the control tables have exactly the version that this controlplane writes.

    Args:
        recorded: the version in `_plane.schema_version`; None if it is not recorded.
        migrations: all migrations.

    Raises:
        PermanentError: they have another version.
    """
    version = FIRST_VERSION if recorded is None else recorded
    _refuse_newer(version, migrations)
    if version < latest(migrations):
        raise PermanentError(
            f"the warehouse {pending(version, migrations)}",
            hint="run `plane deploy` first, with this version of controlplane",
        )


def pending(version: int, migrations: Sequence[Migration] = MIGRATIONS) -> str:
    """Say what a deploy changes in a control schema of this version; empty if nothing."""
    if version == latest(migrations):
        return ""
    return (
        f"has version {version} of the control tables, which the next deploy migrates to version"
        f" {latest(migrations)}"
    )


def upgrade(
    warehouse: Warehouse, *, now: datetime, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Migrate the control schema, and record its version; a repetition does what is left.

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
        # A warehouse without control tables has nothing to migrate.
        made = any(columns[table.plain] is not None for table in SHARED)
        version = FIRST_VERSION if made else latest(migrations)
    _refuse_newer(version, migrations)
    if version == latest(migrations):
        _check_columns(columns)
    return version


def _refuse_newer(version: int, migrations: Sequence[Migration]) -> None:
    if version > latest(migrations):
        raise PermanentError(
            f"the warehouse has version {version} of the control tables in {naming.CONTROL_SCHEMA},"
            f" and this controlplane knows versions up to {latest(migrations)}",
            hint="update controlplane to the release that others deploy with",
        )


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
            hint=(
                "undo the change; or drop the table: the next deploy creates it again without rows"
            ),
        )


def _columns(warehouse: Warehouse) -> Catalogue:
    return warehouse.columns([table.plain for table in SHARED])


def _recorded(warehouse: Warehouse) -> int | None:
    if warehouse.columns([SCHEMA_VERSION.plain])[SCHEMA_VERSION.plain] is None:
        return None
    # Only this column: a newer controlplane may have added others.
    rows = ledger.rows(
        warehouse, f"SELECT version FROM {SCHEMA_VERSION.quoted(dialect(warehouse.dialect))}"
    )
    return max((row["version"] for row in rows), default=None)


def _record(d: Dialect, version: int, now: datetime) -> Statement:
    sql = (
        f"UPDATE {SCHEMA_VERSION.quoted(d)} SET version = {version}, migrated_at = {d.instant(now)}"
    )
    # Never backwards: a newer controlplane may have migrated the schema in the meantime.
    return Statement(
        f"record version {version} of the control tables", f"{sql} WHERE version < {version}"
    )
