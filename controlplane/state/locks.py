"""The lock against a second deploy: one row for each environment that is being deployed now.

A lock can outlive its holder (a kill, a lost machine), so it is taken over from a process that is
gone from this machine and, wherever its holder ran, once it is older than `LEASE`.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import Connection, delete, insert, select

from controlplane.base.types import format_instant, utc
from controlplane.errors import PlaneError
from controlplane.state.tables import locks

LEASE = timedelta(minutes=15)
# The kernel's idea of when it booted, which start times count from, moves a little as the clock is
# kept right.
_JITTER = timedelta(seconds=2)


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one that was given the same id by the time it was started
    at."""

    machine: str
    pid: int
    started_at: datetime

    @classmethod
    def current(cls) -> Process:
        """The process that runs this."""
        return cls(_machine(), os.getpid(), _started_at(psutil.Process()))

    def is_gone(self) -> bool:
        """Whether it ran on this machine and doesn't any more."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            return (
                process.status() == psutil.STATUS_ZOMBIE
                or abs(_started_at(process) - self.started_at) > _JITTER
            )
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def acquire(
    connection: Connection,
    project: str,
    environment: str,
    *,
    token: str,
    holder: str,
    purpose: str,
    now: datetime,
) -> None:
    """Take the lock under a `token` of the caller's own, in the transaction that `connection` is
    in.

    Raises:
        PlaneError: somebody else holds it.
    """
    this_one = (locks.c.project == project, locks.c.environment == environment)
    process = Process.current()
    row = connection.execute(select(locks).where(*this_one)).one_or_none()
    if row is not None:
        lapses_at = row.acquired_at + LEASE
        if utc(now) < lapses_at and not Process(row.machine, row.pid, row.started_at).is_gone():
            raise PlaneError(
                f"{environment} of project {project} is locked by {row.holder} since"
                f" {format_instant(row.acquired_at)} ({row.purpose})",
                hint=(
                    "wait until that is done; the lock lapses by itself at"
                    f" {format_instant(lapses_at)}"
                ),
            )
        connection.execute(delete(locks).where(*this_one))
    connection.execute(
        insert(locks).values(
            project=project,
            environment=environment,
            token=token,
            holder=holder,
            purpose=purpose,
            acquired_at=now,
            machine=process.machine,
            pid=process.pid,
            started_at=process.started_at,
        )
    )


def release(connection: Connection, token: str) -> None:
    """Give the lock back, unless somebody else has taken it over since."""
    connection.execute(delete(locks).where(locks.c.token == token))


def _machine() -> str:
    # Containers may share the host's name and yet not see each other's processes: ids count within
    # a namespace.
    namespace = Path("/proc/self/ns/pid")
    return (
        f"{socket.gethostname()} {namespace.readlink()}"
        if namespace.is_symlink()
        else socket.gethostname()
    )


def _started_at(process: psutil.Process) -> datetime:
    return datetime.fromtimestamp(process.create_time(), UTC)
