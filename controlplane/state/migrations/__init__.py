"""How the state's tables came to be: one file in `versions` for each change, never edited once
released.

To change the tables: change `tables.py`, raise its `REVISION`, and let alembic write the first
draft of the step with `command.revision(config(connection), "what changes", autogenerate=True,
rev_id=REVISION)`.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def config(connection: Connection) -> Config:
    """Alembic's configuration for working on an open connection.

    It needs no file beside this package.
    """
    settings = Config()
    # A ConfigParser reads these values, so a percent sign in the path must be doubled.
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def upgrade(connection: Connection) -> None:
    """Bring the tables up to date, inside the transaction that `connection` is in: all steps take
    effect or none."""
    command.upgrade(config(connection), "head")
