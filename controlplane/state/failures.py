"""A database driver's error -> what the user is told: what failed, why, what to do.

No secret gets through.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from controlplane.errors import PlaneError, TransientError

_AGAIN = "try again in a moment"
_BUSY = {
    "55P03": "another process holds its lock",
    "40001": "another process changed the same rows",
    "40P01": "another process changed the same rows",
}
# What a server says while it refuses a connection has no code, at least not in psycopg's error.
_BUSY_SIGNS = ("too many", "remaining connection slots", "starting up", "shutting down")
_DAMAGED = (
    "restore it from a backup; if there is none, move it away: the next plan shows everything"
    " as new"
)
_SQLITE_HINTS = {
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_READONLY: (
        "let your user write the file and its folder, or name another place in the state's url"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "let your user write the file and its folder, or name another place in the state's url"
    ),
    sqlite3.SQLITE_FULL: "no space left on device: free some on that disk",
    sqlite3.SQLITE_IOERR: "check the disk: it may be full, damaged, or a share that is gone",
}
_SQLSTATE_HINTS = {
    "42501": "let the url's user read and write the plane_* tables and create them",
    "53100": "no space left on device: free some on the server's disk",
}
_CONNECT_HINTS = {
    "password": "check the user and the password in the state's url",
    "does not exist": "create the database or the user, or correct the state's url",
    "pg_hba.conf": (
        "let the server accept this user from this host (pg_hba.conf), or correct the state's url"
    ),
}


def explain(error: DBAPIError, place: str, secrets: list[str]) -> PlaneError:
    """The error to raise for `error`, which happened at the database described by `place`."""
    cause = error.orig
    text = " ".join(str(cause).split())
    for secret in secrets:
        text = text.replace(secret, "***")
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, f"The state in {place} cannot be used: {text}")
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate in _BUSY:
        return TransientError(f"The state in {place} is busy: {_BUSY[sqlstate]}", hint=_AGAIN)
    if error.connection_invalidated:
        return TransientError(
            f"The connection to the state in {place} was lost: {text}", hint=_AGAIN
        )
    if sqlstate is None:
        if any(sign in text for sign in _BUSY_SIGNS):
            return TransientError(
                f"The state in {place} accepts no connection now: {text}", hint=_AGAIN
            )
        hints = (hint for sign, hint in _CONNECT_HINTS.items() if sign in text)
        hint = next(
            hints, "check that the server runs and that the state's url has its right host and port"
        )
        return PlaneError(f"Cannot connect to the state in {place}: {text}", hint=hint)
    return PlaneError(
        f"The state in {place} cannot be used: {text}", hint=_SQLSTATE_HINTS.get(sqlstate, "")
    )


def _sqlite(cause: sqlite3.Error, message: str) -> PlaneError:
    # An extended code (SQLITE_BUSY_SNAPSHOT, ...) holds its primary code in the lowest byte.
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TransientError(message, hint=f"another process writes to it: {_AGAIN}")
    return PlaneError(message, hint=_SQLITE_HINTS.get(code, ""))
