"""Convert an error of a database driver into a `PlaneError`: what failed, why, what to do.

Secrets are removed from its text.
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
# psycopg's error for a refused connection has no SQLSTATE, only the server's text.
_BUSY_SIGNS = ("too many", "remaining connection slots", "starting up", "shutting down")
_DAMAGED = (
    "restore it from a backup; without a backup, move the file away: the next plan then shows"
    " everything as new"
)
_SQLITE_HINTS = {
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_READONLY: (
        "give your user write access to the file and its folder, or change the path in the"
        " state's url"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "give your user write access to the file and its folder, or change the path in the"
        " state's url"
    ),
    sqlite3.SQLITE_FULL: "no space left on device: free some on that disk",
    sqlite3.SQLITE_IOERR: (
        "check the disk: it may be full, damaged, or a network share that is not mounted"
    ),
}
_SQLSTATE_HINTS = {
    "42501": "grant the url's user the rights to create, read and write the plane_* tables",
    "53100": "no space left on device: free some on the server's disk",
}
_CONNECT_HINTS = {
    "password": "check the user and the password in the state's url",
    "does not exist": "create the database or the user, or correct the state's url",
    "pg_hba.conf": (
        "let the server accept this user from this host (pg_hba.conf), or correct the state's url"
    ),
}


def explain(error: DBAPIError, location: str, secrets: list[str]) -> PlaneError:
    """Return the error to raise for `error` of the database that `location` describes."""
    cause = error.orig
    text = " ".join(str(cause).split())
    for secret in secrets:
        text = text.replace(secret, "***")
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause, f"The state in {location} cannot be used: {text}")
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate in _BUSY:
        return TransientError(f"The state in {location} is busy: {_BUSY[sqlstate]}", hint=_AGAIN)
    if error.connection_invalidated:
        return TransientError(
            f"The connection to the state in {location} was lost: {text}", hint=_AGAIN
        )
    if sqlstate is None:
        if any(sign in text for sign in _BUSY_SIGNS):
            return TransientError(
                f"The state in {location} accepts no connection now: {text}", hint=_AGAIN
            )
        hints = (hint for sign, hint in _CONNECT_HINTS.items() if sign in text)
        hint = next(
            hints, "check that the server runs and that the state's url has its right host and port"
        )
        return PlaneError(f"Cannot connect to the state in {location}: {text}", hint=hint)
    return PlaneError(
        f"The state in {location} cannot be used: {text}", hint=_SQLSTATE_HINTS.get(sqlstate, "")
    )


def _sqlite(cause: sqlite3.Error, message: str) -> PlaneError:
    # The lowest byte of an extended code (SQLITE_BUSY_SNAPSHOT, ...) is its primary code.
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TransientError(message, hint=f"another process writes to it: {_AGAIN}")
    return PlaneError(message, hint=_SQLITE_HINTS.get(code, ""))
