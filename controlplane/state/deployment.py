"""A deployment, and a way to read the newest deployments without sqlalchemy."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

REVISION = "0001"
"""The version of the tables that this package reads and writes."""
_FILE = re.compile(r"sqlite:///(?!:memory:|file:)([^?#]+)")
_NEWEST = """
    SELECT id, environment, release, manifest, digest, deployed_by, deployed_at
    FROM plane_deployment, plane_state_version
    WHERE version_num = ? AND project = ? AND environment = ?
    ORDER BY id DESC LIMIT ?
"""


@dataclass(frozen=True)
class Deployment:
    """A deployment: `manifest` is JSON, `digest` identifies it, `deployed_at` is in UTC.

    Ids increase with each deployment.
    """

    id: int
    environment: str
    release: str
    manifest: str
    digest: str
    deployed_by: str
    deployed_at: datetime


def glance(url: str, project: str, environment: str, limit: int = 1) -> list[Deployment]:
    """Return the newest deployments if the state is an SQLite file with current tables.

    An empty list means that there are none, or that this fast path can't read them: then use
    `StateStore`, which also reports errors.
    """
    file = _FILE.fullmatch(url)
    if file is None or not Path(file[1]).is_file():
        return []
    address = f"{Path(file[1]).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0.2)) as connection:
            rows = connection.execute(_NEWEST, (REVISION, project, environment, limit)).fetchall()
    except sqlite3.Error:
        return []
    return [
        replace(Deployment(*row), deployed_at=datetime.fromisoformat(row[-1]).replace(tzinfo=UTC))
        for row in rows
    ]


def absent(url: str) -> bool:
    """Return whether the state is an SQLite file that doesn't exist: nothing is deployed."""
    file = _FILE.fullmatch(url)
    return file is not None and not Path(file[1]).exists()
