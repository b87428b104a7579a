"""One deployment, and a glance at the current one that costs nothing."""

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
_CURRENT = """
    SELECT id, environment, release, manifest, digest, deployed_by, deployed_at
    FROM plane_deployment, plane_state_version
    WHERE version_num = ? AND project = ? AND environment = ?
    ORDER BY id DESC LIMIT 1
"""


@dataclass(frozen=True)
class Deployment:
    """One deployment: `manifest` is JSON text, `digest` identifies it, `deployed_at` is in UTC.

    Ids only grow.
    """

    id: int
    environment: str
    release: str
    manifest: str
    digest: str
    deployed_by: str
    deployed_at: datetime


def glance(url: str, project: str, environment: str) -> Deployment | None:
    """The current deployment, where it can be had without a library: in an SQLite file of this
    version.

    None says nothing: there is none, or `StateStore` is to be asked, which also tells what is
    wrong.
    """
    file = _FILE.fullmatch(url)
    if file is None or not Path(file[1]).is_file():
        return None
    address = f"{Path(file[1]).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0.2)) as connection:
            row = connection.execute(_CURRENT, (REVISION, project, environment)).fetchone()
    except sqlite3.Error:
        return None
    if row is None:
        return None
    found = Deployment(*row)
    return replace(found, deployed_at=datetime.fromisoformat(row[-1]).replace(tzinfo=UTC))


def absent(url: str) -> bool:
    """Whether the state is kept in an SQLite file that is not there yet, so that nothing can be
    deployed."""
    file = _FILE.fullmatch(url)
    return file is not None and not Path(file[1]).exists()
