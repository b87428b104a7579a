"""The lock against concurrent deploys: one row per environment that is being deployed.

A lock can outlive its holder (a kill, a lost machine). So another process may take it over when its
holder, on the same machine, has ended; or when it is older than `LEASE`, on any machine.
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
# Start times are relative to the kernel's boot time, which moves a little when NTP adjusts the
# clock.
_JITTER = timedelta(seconds=2)


@dataclass(frozen=True)
class Process:
    """A process; its start time distinguishes it from a later process with the same id."""

    machine: str
    pid: int
    started_at: datetime

    @classmethod
    def current(cls) -> Process:
        """Return the current process."""
        return cls(_machine(), os.getpid(), _started_at(psutil.Process()))

    def is_gone(self) -> bool:
        """Return whether the process ran on this machine and has ended."""
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
    """Take the lock in the transaction of `connection`; `token` identifies the caller.

    Raises:
        PlaneError: another process holds the lock.
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
                hint=(f"wait until it ends; the lock expires at {format_instant(lapses_at)}"),
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
    """Release the lock, unless another process has taken it over."""
    connection.execute(delete(locks).where(locks.c.token == token))


def _machine() -> str:
    # Containers may have the same host name but not see each other's processes: process ids are
    # unique within a PID namespace only.
    namespace = Path("/proc/self/ns/pid")
    return (
        f"{socket.gethostname()} {namespace.readlink()}"
        if namespace.is_symlink()
        else socket.gethostname()
    )


def _started_at(process: psutil.Process) -> datetime:
    return datetime.fromtimestamp(process.create_time(), UTC)
