"""The database of the state, SQLite or PostgreSQL: connections, transactions, migrations.

Only one transaction writes at a time, on both products; others wait. So a check and the write that
depends on it are atomic, and two processes that open an empty database don't both create its
tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from controlplane.errors import MissingDriver, PlaneError, SettingsError, disk_remedy
from controlplane.state import failures, tables

# An arbitrary number that must be the same in all versions of this package.
_ADVISORY_LOCK = 7_308_895_159_203_129
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")
_USERINFO = re.compile(r"[\w+]+://[^:/]*(:[^@]*)?@")  # as sqlalchemy's make_url reads it
_ESCAPES = (
    "in its user and password, write @ as %40, / as %2F, # as %23, ? as %3F and % as %25;"
    " an @ in another part is written as %40 too"
)
_HINT = "write sqlite:///path/to/state.db or postgresql+psycopg://user:password@host:5432/database"


class Database:
    """A database; it is opened, and its tables are upgraded, at the first use.

    Args:
        url: as in `StateStore`.
        wait: how long to wait for the transaction of another process.

    Raises:
        SettingsError: `url` is neither an SQLite nor a PostgreSQL URL.
        MissingDriver: `url` is a PostgreSQL URL and psycopg is not installed.
    """

    def __init__(self, url: str, wait: timedelta) -> None:
        self._url = _parse(url)
        self._wait = wait
        self._ready = False
        self._sqlite = self._url.drivername == "sqlite"
        self._location = _describe(self._url)
        self._secrets = _secrets(self._url)
        self._engine = (
            _sqlite_engine(self._url, wait) if self._sqlite else _postgresql_engine(self._url)
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for reads; each statement sees what was committed before it.

        Raises:
            PlaneError: the database can't be used; `TransientError` if another process is in the
                way.
        """
        self._prepare()
        with self._connected() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open the only writing transaction; it commits if the block raises no exception.

        Raises:
            PlaneError: the database can't be used; `TransientError` if another process is in the
                way.
        """
        self._prepare()
        with self._alone() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise failures.explain(error, self._location, self._secrets) from error

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self._connected() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                milliseconds = str(self._wait // timedelta(milliseconds=1))
                connection.execute(
                    text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": milliseconds}
                )
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
                )
            yield connection

    def _prepare(self) -> None:
        if self._ready:
            return
        if self._sqlite:
            _make_folder(Path(self._url.database or ""))
        with self._connected() as connection:
            up_to_date = self._is_up_to_date(connection)
        if not up_to_date:
            with self._alone() as connection:
                # Another process may have upgraded the tables while this one waited.
                if not self._is_up_to_date(connection):
                    # lazy: alembic is slow to import, and few commands find old tables
                    from controlplane.state import migrations

                    migrations.upgrade(connection)
        self._ready = True

    def _is_up_to_date(self, connection: Connection) -> bool:
        if not inspect(connection).has_table(tables.VERSION_TABLE):
            return False
        revision = connection.scalar(select(tables.version.c.version_num)) or ""
        if revision > tables.REVISION:
            raise PlaneError(
                f"The state in {self._location} was written by a newer version of controlplane: its"
                f" tables have version {revision}; this version knows {tables.REVISION} at most",
                hint="upgrade controlplane here to the version that your team deploys with",
            )
        return bool(revision == tables.REVISION)


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The cause's text may have the password: `from None` keeps it out of tracebacks.
        raise SettingsError(
            "The url of the state cannot be read", hint=f"{_HINT}; {_ESCAPES}"
        ) from None
    if url.drivername in _POSTGRESQL:
        # sqlalchemy ends the password at the first @ and parses the rest of it as the host, the
        # database or an option. Errors show these, so they would show a part of the password.
        if "@" in _USERINFO.sub("", text, count=1):
            raise SettingsError("The url of the state has more than one @", hint=_ESCAPES)
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise SettingsError(
            f"{url.drivername!r} is not a supported database for the state", hint=_HINT
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise SettingsError("The url of the state has no file", hint=_HINT)
    return url


def _describe(url: URL) -> str:
    if url.drivername == "sqlite":
        return f"the file {url.database}"
    host = url.host or url.query.get("host") or "localhost"
    return (
        f"the PostgreSQL database {url.database or url.username} on"
        f" {host}{f':{url.port}' if url.port else ''}"
    )


def _secrets(url: URL) -> list[str]:
    return [
        str(secret)
        for secret in (url.password, url.query.get("password"), url.query.get("sslpassword"))
        if secret
    ]


def _sqlite_engine(url: URL, wait: timedelta) -> Engine:
    # Without an isolation level, Python's driver begins no transactions itself. `writing` begins
    # them with BEGIN IMMEDIATE, which locks before the first read, not at the first write.
    options: dict[str, Any] = {"timeout": wait.total_seconds(), "isolation_level": None}
    return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=options)


def _postgresql_engine(url: URL) -> Engine:
    # Prepared statements don't survive a transaction pooler such as pgbouncer.
    options: dict[str, Any] = {"prepare_threshold": None}
    if "connect_timeout" not in url.query:
        options["connect_timeout"] = 10
    try:
        return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options)
    except ImportError:
        raise MissingDriver(
            "PostgreSQL's driver, psycopg, is not installed",
            hint="install it: pip install 'controlplane[postgres]'",
        ) from None


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlaneError(
            f"The folder of the state, {file.parent}, cannot be created: {error.strerror}",
            hint=disk_remedy(str(error)) or "use another path in the state's url",
        ) from error
