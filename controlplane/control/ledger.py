"""What is computed and what is shown, read from the warehouse: publications, frontiers, users'
views.

Nothing is written here: the ledger is written with the data, by the SQL of a release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval, merge, utc
from controlplane.release.program import Program
from controlplane.sql.control_tables import DEPLOYED, LEDGER, PUBLIC_VIEWS, ControlTable
from controlplane.sql.dialects import dialect


def rows(warehouse: Warehouse, sql: str, *, tag: str = "") -> list[dict[str, Any]]:
    """The few rows of a small query, as dictionaries."""
    return [row for batch in warehouse.fetch(sql, tag=tag) for row in batch.to_pylist()]


def read_table(
    warehouse: Warehouse, table: ControlTable, suffix: str = ""
) -> list[dict[str, Any]] | None:
    """All rows of a control table; None if it is missing.

    Args:
        warehouse: only read.
        table: its name and columns.
        suffix: what follows the query, such as ` ORDER BY version`.
    """
    if warehouse.columns([table.plain])[table.plain] is None:
        return None
    return rows(warehouse, f"{table.select(dialect(warehouse.dialect))}{suffix}")


@dataclass(frozen=True)
class Head:
    """A view's newest publication: `version` in microseconds on the warehouse's clock (0: none
    yet), and the end of what is computed without a gap since the view's start."""

    version: int
    frontier: datetime
    run_id: str


def head(warehouse: Warehouse, table: str) -> Head:
    """The head of one version of a view; `table` is its quoted name."""
    [row] = rows(warehouse, f"SELECT version, frontier, run_id FROM {table}")
    return Head(row["version"], utc(row["frontier"]), row["run_id"])


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
    """All publications by (`schema.view`, fingerprint), oldest first.

    There may be no ledger yet: then nothing is computed.
    """
    found: dict[tuple[str, str], list[Entry]] = {}
    for row in read_table(warehouse, LEDGER, " ORDER BY version") or ():
        entry = Entry(
            interval=Interval(utc(row["interval_start"]), utc(row["interval_end"])),
            run_id=row["run_id"],
            version=row["version"],
            published_at=utc(row["published_at"]),
            row_count=row["row_count"],
            dropped_count=row["dropped_count"],
        )
        found.setdefault((row["feature_view"], row["fingerprint"]), []).append(entry)
    return found


def covered(publications: Iterable[Entry]) -> list[Interval]:
    """What the publications cover, as the fewest intervals."""
    return merge([entry.interval for entry in publications])


def doors(warehouse: Warehouse) -> Mapping[str, str]:
    """Which version the public views show: `schema.view` -> fingerprint."""
    return {
        row["feature_view"]: row["fingerprint"] for row in read_table(warehouse, PUBLIC_VIEWS) or ()
    }


def shown(warehouse: Warehouse, program: Program) -> str | None:
    """The version that the view's users see; None before the first."""
    return doors(warehouse).get(program.feature_view)


def deployed(warehouse: Warehouse, program: Program) -> bool:
    """Whether this version is the deployed one: not one of an earlier release, nor of a view that
    was dropped."""
    return (program.feature_view, program.fingerprint) in (deployed_versions(warehouse) or ())


def deployed_versions(warehouse: Warehouse) -> list[tuple[str, str]] | None:
    """Return (`schema.view`, fingerprint) of every deployed view; None before the first deploy."""
    listed = read_table(warehouse, DEPLOYED)
    return None if listed is None else [(row["feature_view"], row["fingerprint"]) for row in listed]


def ready(warehouse: Warehouse, program: Program, showing: str | None, through: datetime) -> bool:
    """Whether this version may be shown instead of `showing`: the first of a view at once, so that
    its tables are there to be looked at; a redefined one when it is computed through `through`, and
    its old version shows until then.
    """
    return showing is None or head(warehouse, program.head).frontier >= through
