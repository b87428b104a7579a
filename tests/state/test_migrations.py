"""The tables come to be on first use, once, whoever comes first, and are those that the code
describes."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from controlplane.errors import PlaneError
from controlplane.state import migrations, tables
from controlplane.state.store import StateStore

USE = """
import sys
from controlplane.state.store import StateStore
store = StateStore(sys.argv[1], "shop")
print("ready", flush=True)
sys.stdin.readline()
assert store.current("prod") is None
print("alembic" in sys.modules)
store.close()
"""
OURS = {"plane_deployment", "plane_lock", "plane_state_version"}


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def table_names(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
    engine.dispose()
    return names


def test_first_use_creates_the_tables(url, store):
    assert store.current("prod") is None
    assert table_names(url) == OURS


def test_opening_again_changes_nothing_and_does_not_even_import_alembic(url, store, record, start):
    recorded = record(environment="test")
    again = start(USE, url)
    out, err = again.communicate("go\n", timeout=30)
    assert (out.split(), err) == (["ready", "False"], "")
    assert store.current("test") == recorded


def test_processes_that_come_first_together_create_the_tables_once(url, start):
    processes = [start(USE, url) for _ in range(4)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert table_names(url) == OURS


def test_a_step_that_fails_leaves_nothing_behind(url, store, tmp_path):
    tmp_path.joinpath("new", "folder").mkdir(parents=True)
    execute(url, "CREATE TABLE plane_lock (mine INTEGER)")
    with pytest.raises(PlaneError, match=r"plane_lock.* already exists"):
        store.current("prod")
    assert table_names(url) == {"plane_lock"}
    execute(url, "DROP TABLE plane_lock")
    assert store.current("prod") is None


def test_a_database_may_hold_another_programs_tables(url, store, tmp_path):
    tmp_path.joinpath("new", "folder").mkdir(parents=True)
    execute(
        url,
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('theirs')",
    )
    assert store.current("prod") is None
    assert table_names(url) == {*OURS, "alembic_version"}


def test_the_code_describes_the_tables_that_the_migrations_make(url, store):
    store.current("prod")
    engine = create_engine(url)
    with engine.connect() as connection:
        options = {"version_table": tables.VERSION_TABLE}
        assert (
            compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
            == []
        )
    engine.dispose()


def test_every_step_can_be_taken_back(url, store):
    store.current("prod")
    engine = create_engine(url)
    with engine.begin() as connection:
        command.downgrade(migrations.config(connection), "base")
    engine.dispose()
    assert table_names(url) == {"plane_state_version"}


def test_the_newest_step_is_the_one_that_the_code_asks_for(sqlite_url):
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        steps = ScriptDirectory.from_config(migrations.config(connection))
        assert steps.get_heads() == [tables.REVISION]
    engine.dispose()


def test_a_new_step_can_be_drafted(url, store, tmp_path):
    store.current("prod")
    execute(url, "ALTER TABLE plane_deployment DROP COLUMN deployed_by")
    engine = create_engine(url)
    with engine.begin() as connection:
        config = migrations.config(connection)
        config.set_main_option("version_locations", f"{migrations.__path__[0]}/versions:{tmp_path}")
        command.revision(
            config, "add a column", autogenerate=True, rev_id="0002", version_path=str(tmp_path)
        )
    engine.dispose()
    draft = tmp_path.joinpath("0002_add_a_column.py").read_text()
    compile(draft, "draft", "exec")
    assert (
        "op.add_column('plane_deployment', sa.Column('deployed_by', sa.Text(), nullable=False))"
        in draft
    )


def test_a_newer_database_is_left_alone(url, store, record):
    record()
    execute(url, "UPDATE plane_state_version SET version_num = '0002'")
    store.close()
    newer = StateStore(url, "shop")
    with pytest.raises(PlaneError, match=r"newer version of controlplane.*0002.*0001") as caught:
        newer.current("prod")
    assert "upgrade controlplane" in caught.value.hint
    newer.close()
