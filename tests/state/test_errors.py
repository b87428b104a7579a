"""Whatever is wrong with the database is one error that says what to do and gives no secret
away."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from controlplane.errors import MissingDriver, PlaneError, SettingsError, TransientError
from controlplane.state.store import StateStore

SECRET = "hunter2-S3cret"
BEGINNING = "c4n4ry"
NOBODY = 65534


def failure(store: StateStore) -> PlaneError:
    """The error that using the store raises, checked for what holds of every error of this room."""
    with pytest.raises(PlaneError) as caught:
        store.record(
            environment="prod",
            release="r1",
            manifest="{}",
            digest="d1",
            deployed_by="ann",
            expected=None,
            now=datetime(2026, 3, 1, tzinfo=UTC),
        )
    store.close()
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user who may not write everywhere, also where the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:port/d", "cannot be read"),
        (f"mysql://u:{SECRET}@h/d", "'mysql' is not a supported database"),
        ("sqlite://", "has no file"),
        ("sqlite:///:memory:", "has no file"),
    ],
)
def test_a_url_that_is_neither_of_the_two(url, message):
    with pytest.raises(SettingsError, match=message) as caught:
        StateStore(url, "shop")
    assert "sqlite:///" in caught.value.hint
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_password_that_the_parser_would_take_for_the_host():
    with pytest.raises(SettingsError, match="more than one @") as caught:
        StateStore(f"postgresql://u:1@{SECRET}@h/d", "shop")
    assert "%40" in caught.value.hint
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "mark",
    ["@", "@/", "@x/", "@?", "@:", "@x:1/", "/", "#", "?", ":", "%", "@#", "@[", "[", "?a=b@"],
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres", "mysql"])
def test_c6_no_part_of_a_password_that_is_not_escaped_is_shown(scheme, mark):
    url = f"{scheme}://me:{BEGINNING}{mark}{SECRET}@127.0.0.1:1/plane"
    with pytest.raises(PlaneError) as caught:
        StateStore(url, "shop").current("prod")
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert BEGINNING not in told
    if isinstance(caught.value, SettingsError) and scheme != "mysql":
        assert "%40" in caught.value.hint


def test_c6_the_only_at_sign_of_a_url_may_be_the_last_of_a_user():
    with pytest.raises(
        PlaneError, match=r"Cannot connect to the state in the PostgreSQL database d on 127.0.0.1:1"
    ):
        StateStore(
            f"postgresql://me@tenant:{SECRET}@127.0.0.1:1/d?application_name=a%40b", "shop"
        ).current("prod")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_an_unreachable_server(scheme):
    error = failure(StateStore(f"{scheme}://ann:{SECRET}@127.0.0.1:1/plane", "shop"))
    assert (
        "Cannot connect to the state in the PostgreSQL database plane on 127.0.0.1:1"
        in error.message
    )
    assert "Connection refused" in error.message
    assert "host and port" in error.hint


@pytest.fixture
def guarded(postgres: str) -> Iterator[str]:
    """The server's folder, whose user `guarded` must give a password."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        hba = Path(admin.execute("SELECT current_setting('hba_file')").fetchall()[0][0])
        before = hba.read_text()
        hba.write_text(f"local all guarded scram-sha-256\n{before}")
        admin.execute("SELECT pg_reload_conf()")
        yield postgres.partition("host=")[2]
        hba.write_text(before)
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("DROP ROLE guarded")


def test_a_wrong_password(guarded):
    error = failure(StateStore(f"postgresql://guarded:{SECRET}@/postgres?host={guarded}", "shop"))
    assert 'password authentication failed for user "guarded"' in error.message
    assert "password" in error.hint
    error = failure(
        StateStore(f"postgresql://guarded@/postgres?host={guarded}&password={SECRET}", "shop")
    )
    assert "password authentication failed" in error.message
    assert not isinstance(error, TransientError)


def test_a_user_who_may_not_create_tables(guarded):
    error = failure(StateStore(f"postgresql://guarded:right@/postgres?host={guarded}", "shop"))
    assert "permission denied for schema public" in error.message
    assert "plane_*" in error.hint


def test_a_server_without_a_free_connection(postgres, guarded):
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("ALTER ROLE guarded CONNECTION LIMIT 0")
    error = failure(StateStore(f"postgresql://guarded:right@/postgres?host={guarded}", "shop"))
    assert isinstance(error, TransientError)
    assert "too many connections" in error.message


def test_a_database_that_does_not_exist(postgres):
    error = failure(StateStore(postgres.replace("/postgres?", f"/nope?password={SECRET}&"), "shop"))
    assert 'database "nope" does not exist' in error.message
    assert "create the database" in error.hint


def test_a_lost_connection_can_be_tried_again(postgres_url):
    store = StateStore(postgres_url, "shop")
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )

    def lose_it() -> None:
        with store._database.writing() as connection:
            with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
                admin.execute(cut)
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(TransientError, match="terminat"):
        lose_it()
    assert store.current("prod") is None
    store.close()


def test_a_missing_driver(start):
    code = """
import sys
sys.modules["psycopg"] = None
from controlplane.errors import MissingDriver
from controlplane.state.store import StateStore
try:
    StateStore("postgresql://ann@host/plane", "shop")
except MissingDriver as error:
    print(error.hint)
"""
    assert start(code).communicate(timeout=30) == (
        "install it: pip install 'controlplane[postgres]'\n",
        "",
    )
    assert issubclass(MissingDriver, PlaneError)


def test_a_locked_database(url):
    first, second = (
        StateStore(url, "shop"),
        StateStore(url, "shop", wait=timedelta(milliseconds=200)),
    )
    first.current("prod")
    with first._database.writing():
        error = failure(second)
    assert isinstance(error, TransientError)
    assert "try again" in error.hint
    first.close()


def test_a_file_that_is_no_database(tmp_path):
    file = tmp_path / "state.db"
    file.write_bytes(b"this was never a database" * 100)
    error = failure(StateStore(f"sqlite:///{file}", "shop"))
    assert str(file) in error.message
    assert "not a database" in error.message
    assert "restore it from a backup" in error.hint
    assert file.read_bytes() == b"this was never a database" * 100


def test_a_damaged_file(tmp_path):
    file = tmp_path / "state.db"
    store = StateStore(f"sqlite:///{file}", "shop")
    store.current("prod")
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * (size - 4096))
    error = failure(store)
    assert "malformed" in error.message
    assert "restore it from a backup" in error.hint


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own are private) and only its owner can
    write."""
    with tempfile.TemporaryDirectory(prefix="plane-state-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_that_may_only_be_read(public_folder):
    file = public_folder / "state.db"
    store = StateStore(f"sqlite:///{file}", "shop")
    assert store.current("prod") is None
    file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    with unprivileged():
        assert store.current("prod") is None
        error = failure(store)
    assert "readonly" in error.message
    assert "give your user write access" in error.hint


def test_a_folder_that_may_not_be_written(public_folder):
    public_folder.chmod(0o555)
    with unprivileged():
        error = failure(StateStore(f"sqlite:///{public_folder / 'state.db'}", "shop"))
        assert "unable to open database file" in error.message
        error = failure(StateStore(f"sqlite:///{public_folder / 'new' / 'state.db'}", "shop"))
        assert "cannot be created: Permission denied" in error.message
    public_folder.chmod(0o755)


def test_a_folder_that_is_a_file(tmp_path):
    tmp_path.joinpath("taken").write_text("")
    error = failure(StateStore(f"sqlite:///{tmp_path / 'taken' / 'state.db'}", "shop"))
    assert "cannot be created" in error.message


def test_a_file_that_is_a_folder(tmp_path):
    error = failure(StateStore(f"sqlite:///{tmp_path}", "shop"))
    assert "unable to open database file" in error.message


def test_the_database_python_was_built_with_can_do_what_we_ask():
    assert sqlite3.sqlite_version_info >= (3, 35), "RETURNING"
