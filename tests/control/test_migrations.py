"""The control schema has a version: earlier ones are migrated, newer and altered ones are
refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane import ControlPlane
from controlplane.base.ports import Statement, Warehouse
from controlplane.control import migrations, owners
from controlplane.control.columns import Catalogue
from controlplane.control.migrations import MIGRATIONS, Migration
from controlplane.errors import PermanentError
from controlplane.sql.control_tables import DATASETS, OWNERS, SCHEMA_VERSION, ControlTable
from controlplane.sql.dialects import Dialect, dialect
from tests.control.team import Team
from tests.shop import Shop

NOW = datetime(2024, 1, 5, tzinfo=UTC)
LATER = datetime(2024, 1, 6, tzinfo=UTC)
# What a version 1 could have been: training sets without the time at which they were made.
EARLIER = ControlTable(
    "datasets", {name: kind for name, kind in DATASETS.columns.items() if name != "created_at"}
)


def with_times(d: Dialect, columns: Catalogue) -> list[Statement]:
    """Give training sets a time."""
    table, kind = DATASETS.quoted(d), d.type("timestamp")
    fill = f"UPDATE {table} SET created_at = {d.instant(NOW)} WHERE created_at IS NULL"
    statements = [Statement("fill the times", fill)]
    if "created_at" not in (columns[DATASETS.plain] or {}):
        statements.insert(
            0, Statement("add the times", f"ALTER TABLE {table} ADD COLUMN created_at {kind}")
        )
    return statements


TOY = (Migration(2, with_times),)


class Stopped(Exception):
    """The process ended."""


class StoppedWarehouse:
    """Passes everything on, and stops before a statement."""

    def __init__(self, warehouse: Warehouse, allowed: int) -> None:
        self._warehouse, self._allowed = warehouse, allowed

    def execute(self, statements: Sequence[Statement], **_: Any) -> list[int]:
        counts = []
        for statement in statements:
            if self._allowed == 0:
                raise Stopped(statement.name)
            self._allowed -= 1
            counts += self._warehouse.execute([statement])
        return counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)


def make_earlier(team: Team) -> None:
    """Make the table of training sets as an earlier version had it, with a row."""
    d = team.dialect
    team.run(
        f"DROP TABLE IF EXISTS {SCHEMA_VERSION.quoted(d)}",
        f"DROP TABLE IF EXISTS {DATASETS.quoted(d)}",
        EARLIER.create(d).sql,
        f"INSERT INTO {DATASETS.quoted(d)} VALUES ('churn', 1, 'shop', '{{}}', 10, 'ann@laptop')",
    )


def test_a_migration_may_be_stopped_at_any_statement(team: Team) -> None:
    d = team.dialect
    team.run(f"CREATE SCHEMA {team.quote('_plane')}")
    # Three statements make the table of the version, three migrate: the column, its values, the
    # version.
    for allowed in range(6):
        make_earlier(team)
        with closing(team.connect()) as warehouse:
            assert migrations.check(warehouse, TOY) == 1
            with pytest.raises(Stopped):
                migrations.upgrade(StoppedWarehouse(warehouse, allowed), now=NOW, migrations=TOY)
            migrations.upgrade(warehouse, now=LATER, migrations=TOY)
            assert migrations.check(warehouse, TOY) == 2
            # Nothing is left.
            migrations.upgrade(StoppedWarehouse(warehouse, 0), now=LATER, migrations=TOY)
        [row] = team.rows(f"SELECT name, created_at FROM {DATASETS.quoted(d)}")
        assert (row["name"], row["created_at"].replace(tzinfo=UTC)) == ("churn", NOW)
        assert [row["version"] for row in team.rows(SCHEMA_VERSION.select(d))] == [2]
    with closing(team.connect()) as warehouse, pytest.raises(PermanentError) as refused:
        migrations.check(warehouse)
    assert "has version 2 of the control tables in _plane" in refused.value.message
    assert refused.value.hint == "update controlplane to the release that others deploy with"


def test_a_warehouse_without_control_tables_gets_the_latest_version(team: Team) -> None:
    with closing(team.connect()) as warehouse:
        assert migrations.check(warehouse, TOY) == 2
        migrations.upgrade(warehouse, now=NOW, migrations=TOY)
        assert migrations.check(warehouse, TOY) == 2


def test_migrations_are_numbered_from_2() -> None:
    assert [migration.version for migration in MIGRATIONS] == list(range(2, len(MIGRATIONS) + 2))


def test_a_deploy_records_the_version_of_an_earlier_warehouse(shop: Shop) -> None:
    shop.ready()
    recorded = [(migrations.latest(),)]
    assert shop.sql("SELECT version FROM _plane.schema_version") == recorded
    shop.sql("DROP TABLE _plane.schema_version")
    assert "No changes" in shop.plane("plan", "--detailed-exitcode").out
    assert "nothing to do" in shop.plane("run").out
    shop.plane("deploy")
    assert shop.sql("SELECT version FROM _plane.schema_version") == recorded


def test_a_plan_says_what_its_deploy_migrates() -> None:
    assert (
        migrations.pending(1, TOY)
        == "has version 1 of the control tables, which the next deploy migrates to version 2"
    )
    assert migrations.pending(2, TOY) == ""


def test_a_warehouse_of_a_newer_version_is_refused(shop: Shop) -> None:
    shop.ready()
    shop.sql(
        "UPDATE _plane.schema_version SET version = 99",
        "ALTER TABLE _plane.ledger ADD COLUMN cost DOUBLE",
    )
    before = shop.sql("FROM _plane.owners")
    for command in (["plan"], ["deploy", "--yes"], ["status"], ["run"], ["run", "--recompute"]):
        refused = shop.fails(*command)
        assert "has version 99 of the control tables in _plane" in refused
        assert "update controlplane" in refused
    [finding] = [
        one for one in shop.plane("doctor", "--json", code=1).json if one["level"] == "error"
    ]
    assert "has version 99 of the control tables" in finding["message"]
    assert shop.sql("FROM _plane.owners") == before


def test_a_run_is_refused_until_a_deploy_has_migrated_the_control_tables(shop: Shop) -> None:
    shop.ready()
    publications = shop.sql("FROM _plane.ledger ORDER BY version")
    shop.sql("UPDATE _plane.schema_version SET version = 0")
    refused = shop.fails("run", "--recompute")
    assert (
        "has version 0 of the control tables, which the next deploy migrates to version 1"
        in refused
    )
    assert "run `plane deploy` first" in refused
    assert shop.sql("FROM _plane.ledger ORDER BY version") == publications
    shop.sql("UPDATE _plane.schema_version SET version = 1")
    shop.plane("run", "--recompute")


def test_a_run_checks_the_version_and_the_owner_on_every_engine(team: Team) -> None:
    """Also where an earlier version of controlplane recorded neither."""
    with ControlPlane(team.laptop("ann")) as plane:
        plane.deploy()
        names = ("features", plane.project.current()[1].project, "local")
    with closing(team.connect()) as warehouse:
        owners.check_run(warehouse, *names)
        with pytest.raises(PermanentError, match="it belongs to environment 'local'"):
            owners.check_run(warehouse, "features", "shop", "other")
        owners.check_run(warehouse, "another_schema", "shop", "other")
        d = dialect(warehouse.dialect)
        table = SCHEMA_VERSION.quoted(d)
        for version, message in (
            (0, "which the next deploy migrates to"),
            (2, "knows versions up to 1"),
        ):
            warehouse.execute([Statement("alter", f"UPDATE {table} SET version = {version}")])
            with pytest.raises(PermanentError, match=message):
                owners.check_run(warehouse, *names)
        warehouse.execute([Statement("empty", f"DELETE FROM {table}")])
        owners.check_run(warehouse, *names)
        warehouse.execute([Statement("drop", f"DROP TABLE {table}")])
        owners.check_run(warehouse, *names)
        warehouse.execute([Statement("drop", f"DROP TABLE {OWNERS.quoted(d)}")])
        owners.check_run(warehouse, *names)


def test_a_newer_controlplane_asks_for_a_deploy() -> None:
    for recorded in (None, 1):
        with pytest.raises(PermanentError, match="migrates to version 2") as refused:
            migrations.check_for_writing(recorded, TOY)
        assert "plane deploy" in refused.value.hint
    migrations.check_for_writing(2, TOY)
    with pytest.raises(PermanentError, match="knows versions up to 2") as refused:
        migrations.check_for_writing(3, TOY)
    assert "update controlplane" in refused.value.hint


# A column that comes back is the last one: then the table is made again, without its rows.
ALTERATIONS = [
    ("ledger", "DROP COLUMN run_id", "has lost its column run_id", "DROP TABLE _plane.ledger"),
    (
        "doors",
        "ADD COLUMN note VARCHAR",
        "has an additional column, note",
        "ALTER TABLE _plane.doors DROP COLUMN note",
    ),
    (
        "owners",
        "ALTER deployment TYPE DOUBLE",
        "has column deployment of type float64 instead of int64",
        "ALTER TABLE _plane.owners ALTER deployment TYPE BIGINT",
    ),
]


@pytest.mark.parametrize(("table", "change", "problem", "remedy"), ALTERATIONS)
def test_a13_a_control_table_that_was_altered(
    shop: Shop, table: str, change: str, problem: str, remedy: str
) -> None:
    """Case A13: plan, status, doctor and deploy name the table and its column, and change
    nothing."""
    shop.ready()
    shop.sql(f"ALTER TABLE _plane.{table} {change}")
    for command in (["plan"], ["deploy", "--yes"], ["status"]):
        refused = shop.fails(*command)
        assert f"control tables were altered: _plane.{table} {problem}" in refused
        assert "undo the change; or drop the table" in refused
    [finding] = [
        one for one in shop.plane("doctor", "--json", code=1).json if one["level"] == "error"
    ]
    assert (finding["subject"], problem in finding["message"]) == ("deployment", True)
    shop.sql(remedy)
    shop.plane("deploy", "--yes")
    shop.plane("run")
    assert "No changes" in shop.plane("plan", "--detailed-exitcode").out


def test_a13_an_altered_control_table_is_seen_on_every_engine(team: Team) -> None:
    folder = team.laptop("one")
    with ControlPlane(folder) as plane:
        plane.deploy()
        assert plane.plan().empty
    team.run(
        f"ALTER TABLE {team.quote('_plane', 'deployed')} ADD COLUMN {team.quote('note')} {team.dialect.type('string')}"
    )
    with ControlPlane(folder) as plane, pytest.raises(PermanentError) as refused:
        plane.plan()
    assert (
        refused.value.message
        == "control tables were altered: _plane.deployed has an additional column, note"
    )
