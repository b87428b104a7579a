"""Read from the warehouse what is computed and shown: publications, watermarks, public views.

Nothing is written here: the SQL of a release writes the ledger together with the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval, merge, utc
from controlplane.release.program import Program
from controlplane.sql import control_tables
from controlplane.sql.control_tables import DEPLOYED, LEDGER, PUBLIC_VIEWS, ControlTable
from controlplane.sql.dialects import dialect


def rows(warehouse: Warehouse, sql: str, *, tag: str = "") -> list[dict[str, Any]]:
    """Return the rows of a small query as dictionaries."""
    return [row for batch in warehouse.fetch(sql, tag=tag) for row in batch.to_pylist()]


def read_table(
    warehouse: Warehouse, table: ControlTable, suffix: str = ""
) -> list[dict[str, Any]] | None:
    """Return all rows of a control table; None if it is missing.

    Args:
        warehouse: the warehouse, which is only read.
        table: the control table.
        suffix: the end of the query, such as ` ORDER BY version`.
    """
    if warehouse.columns([table.plain])[table.plain] is None:
        return None
    return rows(warehouse, f"{table.select(dialect(warehouse.dialect))}{suffix}")


@dataclass(frozen=True)
class Head:
    """The newest publication of a version of a view.

    Attributes:
        version: Its time in microseconds on the warehouse's clock; 0 before the first.
        watermark: Everything from the view's start up to it is computed.
        run_id: The run that published.
    """

    version: int
    watermark: datetime
    run_id: str


def head(warehouse: Warehouse, table: str) -> Head:
    """Read the head of one version of a view; `table` is its quoted name."""
    [row] = rows(warehouse, f"SELECT version, frontier, run_id FROM {table}")
    return Head(row["version"], utc(row["frontier"]), row["run_id"])


def synced_version(warehouse: Warehouse, program: Program) -> int:
    """Return the version that a sync has read when it has read all newest rows of a view.

    See `control_tables.synced_version`.
    """
    d = dialect(warehouse.dialect)
    names = d.text(program.feature_view), d.text(program.fingerprint)
    [row] = rows(warehouse, control_tables.synced_version(d, program.head, *names))
    return int(row["version"])


@dataclass(frozen=True)
class Entry:
    """One publication of the ledger."""

    interval: Interval
    run_id: str
    version: int
    published_at: datetime
    row_count: int
    dropped_count: int


def entries(warehouse: Warehouse) -> dict[tuple[str, str], list[Entry]]:
    """Return all publications by (`schema.view`, fingerprint), oldest first."""
    publications: dict[tuple[str, str], list[Entry]] = {}
    # Before the first deploy there is no ledger, and nothing is computed.
    for row in read_table(warehouse, LEDGER, " ORDER BY version") or ():
        entry = Entry(
            interval=Interval(utc(row["interval_start"]), utc(row["interval_end"])),
            run_id=row["run_id"],
            version=row["version"],
            published_at=utc(row["published_at"]),
            row_count=row["row_count"],
            dropped_count=row["dropped_count"],
        )
        publications.setdefault((row["feature_view"], row["fingerprint"]), []).append(entry)
    return publications


def covered(publications: Iterable[Entry]) -> list[Interval]:
    """Merge the intervals of publications into as few as possible."""
    return merge([entry.interval for entry in publications])


def shown_versions(warehouse: Warehouse) -> Mapping[str, str]:
    """Return the versions that the public views show: `schema.view` -> fingerprint."""
    return {
        row["feature_view"]: row["fingerprint"] for row in read_table(warehouse, PUBLIC_VIEWS) or ()
    }


def deployed_versions(warehouse: Warehouse) -> list[tuple[str, str]] | None:
    """Return (`schema.view`, fingerprint) of every deployed view; None before the first deploy."""
    listed = read_table(warehouse, DEPLOYED)
    return None if listed is None else [(row["feature_view"], row["fingerprint"]) for row in listed]


Requirement = Literal["all_due", "first_interval", "nothing"]
"""How far a version must be computed before it replaces another in the public views."""


class Versions:
    """The deployed versions, and the versions that public views show, as the warehouse lists them.

    Each list is read once, when it is first needed.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @cached_property
    def _deployed(self) -> frozenset[tuple[str, str]]:
        return frozenset(deployed_versions(self._warehouse) or ())

    @cached_property
    def _shown(self) -> Mapping[str, str]:
        return shown_versions(self._warehouse)

    def shows(self, program: Program) -> bool:
        """Whether the public views show this version."""
        return self._shown.get(program.feature_view) == program.fingerprint

    def may_show(self, program: Program, now: datetime, requires: Requirement = "all_due") -> bool:
        """Decide whether the public views may show this version, for deploys and for runs.

        Only a deployed version replaces another: a run of an earlier release, or of a dropped view,
        changes nothing. The first version of a view is shown at once, so that users can look at its
        tables. A later version is shown when it is computed as far as required; until then the
        public views show the old one.

        Args:
            program: the version.
            now: the environment's now, which decides the intervals that are due.
            requires: how far it must be computed: all due intervals; or the first interval, for a
                rollback; or nothing, if the public views are broken and can't show the old version.
        """
        if self.shows(program):
            return True
        if (program.feature_view, program.fingerprint) not in self._deployed:
            return False
        if program.feature_view not in self._shown or requires == "nothing":
            return True
        timing = program.timing
        due = timing.due(now)
        through = due.end if due else timing.start
        if requires == "first_interval":
            through = min(through, timing.start + timing.schedule)
        return head(self._warehouse, program.head).watermark >= through
