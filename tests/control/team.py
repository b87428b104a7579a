"""One warehouse and one online store that several people of a team work with, each from a
laptop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane import ControlPlane
from controlplane.base.naming import stored_name
from controlplane.base.ports import Statement, Warehouse
from controlplane.manifest.specs import Manifest
from controlplane.sql.dialects import Dialect, dialect
from tests.shop import DEFINITIONS, replaced

SETTINGS = """[project]
name = "{project}"
dialect = "{kind}"

[environments.{environment}]
now = "2024-01-05T00:00:00Z"
schema = "{schema}"
warehouse = {warehouse}
online = {{ kind = "redis", url = "{online}" }}
"""
PAYMENTS = (
    (1, "2024-01-01 08:00:00", 10, "DE"),
    (2, "2024-01-02 09:00:00", 20, "FR"),
    (1, "2024-01-04 10:00:00", 30, "NO"),
    (3, "2024-01-04 11:00:00", 40, "DE"),
)
SCHEMAS = ("features", "_plane", "datasets", "raw")


@dataclass
class Team:
    """The warehouse: what it is, how `plane.toml` names it, and what opens it."""

    folder: Path
    name: str
    kind: str
    warehouse: str
    online: str
    connect: Callable[[], Warehouse]

    def laptop(
        self,
        name: str,
        *replacements: tuple[str, str],
        project: str | None = None,
        environment: str = "local",
        schema: str = "features",
    ) -> Path:
        """A folder with the project, and a state database of its own."""
        folder = self.folder / name
        (folder / "features").mkdir(parents=True)
        settings = SETTINGS.format(
            project=project or self.name,
            kind=self.kind,
            environment=environment,
            schema=schema,
            warehouse=self.warehouse,
            online=self.online,
        )
        (folder / "plane.toml").write_text(settings)
        self.define(folder, *replacements)
        return folder

    def define(self, folder: Path, *replacements: tuple[str, str]) -> None:
        """Write the definitions, with texts replaced."""
        (folder / "features" / "shop.py").write_text(replaced(DEFINITIONS, *replacements))

    def run(self, *statements: str) -> None:
        """Run statements in the warehouse as a user would."""
        with closing(self.connect()) as warehouse:
            for sql in statements:
                warehouse.execute([Statement("by hand", sql)])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """A query's rows."""
        with closing(self.connect()) as warehouse:
            return [row for batch in warehouse.fetch(sql) for row in batch.to_pylist()]

    def columns(self, table: str) -> list[str] | None:
        """The names of a table's columns, quoted as the warehouse needs it; None: it is missing."""
        with closing(self.connect()) as warehouse:
            found = warehouse.columns([table])[table]
            return None if found is None else list(found)

    def drop_all(self) -> None:
        """Drop every schema of the team."""
        self.run(*(f"DROP SCHEMA IF EXISTS {self.quote(name)} CASCADE" for name in SCHEMAS))

    def load(self) -> None:
        """Make the table of payments that the team has."""
        timestamp = "TIMESTAMP" if self.kind != "snowflake" else "TIMESTAMP_NTZ"
        text = "VARCHAR" if self.kind == "duckdb" else "STRING"
        values = ", ".join(
            f"({u}, CAST('{at}' AS {timestamp}), {n}, '{c}')" for u, at, n, c in PAYMENTS
        )
        self.run(
            "CREATE SCHEMA raw",
            f"CREATE TABLE raw.payments (user_id BIGINT, paid_at {timestamp}, amount BIGINT,"
            f" country {text})",
            f"INSERT INTO raw.payments VALUES {values}",
        )

    @property
    def dialect(self) -> Dialect:
        """The warehouse's SQL."""
        return dialect(self.kind)

    def quote(self, *parts: str) -> str:
        """A name with its schema, quoted."""
        d = dialect(self.kind)
        return ".".join(d.quote(stored_name(part, self.kind)) for part in parts)


def version(folder: Path, environment: str | None = None) -> str:
    """The fingerprint of the deployed view."""
    with ControlPlane(folder, environment) as plane:
        manifest: Manifest = plane.deployed()[1]
        return manifest.views[0].fingerprint


def ready(folder: Path) -> None:
    """Deploy and compute everything."""
    with ControlPlane(folder) as plane:
        plane.deploy()
        plane.run()


def features(folder: Path, user: int) -> dict[str, Any]:
    """A user's online features by their short names."""
    with ControlPlane(folder) as plane:
        vector = plane.get("shop", {"user_id": user})
        return {name.partition("__")[2]: value for name, value in vector.items()}
