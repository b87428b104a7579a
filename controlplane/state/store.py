"""The record of all deployments of a project. Its rows are never changed or deleted."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select

from controlplane.base.types import format_instant, utc
from controlplane.errors import PlaneError
from controlplane.state import locks
from controlplane.state.database import Database
from controlplane.state.deployment import Deployment
from controlplane.state.tables import deployments

_log = logging.getLogger(__name__)


class StateStore:
    """The deployments of one project.

    The database's tables are created or brought up to date on first use.

    Args:
        url: `sqlite:///path` (missing folders are created) or
            `postgresql+psycopg://user:password@host/database`.
        project: the project's name; several projects can share a database.
        wait: how long to wait while another process writes.

    Raises:
        SettingsError: `url` is not such a URL.
        MissingDriver: psycopg is needed and not installed.

    All methods raise `PlaneError` if the database can't be used, and `TransientError` if another
    process wrote for longer than `wait` or the connection was lost.
    """

    def __init__(self, url: str, project: str, *, wait: timedelta = timedelta(seconds=10)) -> None:
        self._database = Database(url, wait)
        self._project = project

    def current(self, environment: str) -> Deployment | None:
        """Return the last deployment to `environment`, or None."""
        return next(iter(self.history(environment, limit=1)), None)

    def history(
        self, environment: str, limit: int = 20, *, before: int | None = None
    ) -> list[Deployment]:
        """Return at most `limit` deployments to `environment`, newest first.

        With `before`, return only deployments with smaller ids.
        """
        with self._database.reading() as connection:
            return self._newest(connection, environment, limit, before)

    def record(
        self,
        *,
        environment: str,
        release: str,
        manifest: str,
        digest: str,
        deployed_by: str,
        expected: int | None,
        now: datetime,
    ) -> Deployment:
        """Record a deployment that was planned when `expected` was the id of the current one.

        Raises:
            PlaneError: another deployment was recorded since; nothing was recorded.
        """
        unnumbered = Deployment(0, environment, release, manifest, digest, deployed_by, utc(now))
        values = {name: value for name, value in asdict(unnumbered).items() if name != "id"}
        with self._database.writing() as connection:
            current = next(iter(self._newest(connection, environment, 1)), None)
            if (current.id if current else None) != expected:
                raise _conflict(environment, current)
            inserted = (
                insert(deployments)
                .values(project=self._project, **values)
                .returning(deployments.c.id)
            )
            return replace(unnumbered, id=connection.execute(inserted).scalar_one())

    @contextmanager
    def lock(
        self, environment: str, *, holder: str, purpose: str, now: Callable[[], datetime]
    ) -> Iterator[None]:
        """Hold the lock of `environment` while the block runs, so that nobody else can deploy.

        The lock expires after 15 minutes, or when its process on this machine ends.

        Args:
            environment: what to lock; the project's other environments stay free.
            holder: the holder as `user@host:pid`, for the error message of others.
            purpose: what the lock is for, also for the message.
            now: the wall clock (not an environment's fixed time).

        Raises:
            PlaneError: the lock is held; the message says by whom, since when and until when.
        """
        token = uuid.uuid4().hex
        with self._database.writing() as connection:
            locks.acquire(
                connection,
                self._project,
                environment,
                token=token,
                holder=holder,
                purpose=purpose,
                now=now(),
            )
        try:
            yield
        finally:
            try:
                with self._database.writing() as connection:
                    locks.release(connection, token)
            except PlaneError as error:
                # Raised, this error would hide an error of the block itself.
                _log.warning(
                    "The lock on %s could not be released; it expires by itself. %s",
                    environment,
                    error,
                )

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._database.close()

    def _newest(
        self, connection: Connection, environment: str, limit: int, before: int | None = None
    ) -> list[Deployment]:
        columns = [column for column in deployments.columns if column.name != "project"]
        query = (
            select(*columns)
            .where(deployments.c.project == self._project, deployments.c.environment == environment)
            .order_by(deployments.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(deployments.c.id < before)
        return [Deployment(*row) for row in connection.execute(query)]


def _conflict(environment: str, current: Deployment | None) -> PlaneError:
    hint = "nothing was recorded; run `plane plan` again and look at what changed"
    if current is None:
        return PlaneError(
            f"{environment} has no deployment, but this deployment was planned to follow one",
            hint=hint,
        )
    return PlaneError(
        f"{current.deployed_by} deployed release {current.release} to {environment} at"
        f" {format_instant(current.deployed_at)}, after this deployment was planned",
        hint=hint,
    )
