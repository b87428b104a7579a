"""What is computed and what is shown, read from the warehouse: publications, frontiers, users' views.

Nothing is written here: the ledger is written with the data, by the SQL of a release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.base.naming import CONTROL_SCHEMA
from controlplane.base.ports import Warehouse
from controlplane.base.types import Interval, merge, utc
from controlplane.release.program import Program
from controlplane.sql.dialects import dialect


def rows(warehouse: Warehouse, sql: str, *, tag: str = "") -> list[dict[str, Any]]:
    """The few rows of a small query, as dictionaries."""
    return [row for batch in warehouse.fetch(sql, tag=tag) for row in batch.to_pylist()]


@dataclass(frozen=True)
class Head:
    """A view's newest publication: `version` in microseconds on the warehouse's clock (0: none yet), and the end of
    what is computed without a gap since the view's start."""

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


def full_name(dialect_name: str) -> str:
    """The ledger's quoted name."""
    return control_name(dialect_name, "ledger")


def control_name(dialect_name: str, name: str) -> str:
    """The quoted name of a table of the control schema."""
    d = dialect(dialect_name)
    return f"{d.quote(CONTROL_SCHEMA)}.{d.quote(name)}"


def entries(warehouse: Warehouse, ledger: str) -> dict[tuple[str, str], list[Entry]]:
    """All publications by (`schema.view`, fingerprint), oldest first; `ledger` is the table's quoted name.

    There may be no ledger yet: then nothing is computed.
    """
    if warehouse.columns([f"{CONTROL_SCHEMA}.ledger"])[f"{CONTROL_SCHEMA}.ledger"] is None:
        return {}
    found: dict[tuple[str, str], list[Entry]] = {}
    for row in rows(warehouse, f"SELECT * FROM {ledger} ORDER BY version"):
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


def doors(warehouse: Warehouse, table: str) -> Mapping[str, str]:
    """Which version the users' views show: `schema.view` -> fingerprint; `table` is the quoted name."""
    if warehouse.columns([f"{CONTROL_SCHEMA}.doors"])[f"{CONTROL_SCHEMA}.doors"] is None:
        return {}
    return {row["feature_view"]: row["fingerprint"] for row in rows(warehouse, f"SELECT * FROM {table}")}


def shown(warehouse: Warehouse, program: Program) -> str | None:
    """The version that the view's users see; None before the first."""
    return doors(warehouse, program.doors).get(program.feature_view)


def deployed(warehouse: Warehouse, program: Program) -> bool:
    """Whether this version is the deployed one: not one of an earlier release, nor of a view that was dropped."""
    return (program.feature_view, program.fingerprint) in (deployed_versions(warehouse) or ())


def deployed_versions(warehouse: Warehouse) -> list[tuple[str, str]] | None:
    """Return (`schema.view`, fingerprint) of every deployed view; None before the first deploy."""
    name = f"{CONTROL_SCHEMA}.deployed"
    if warehouse.columns([name])[name] is None:
        return None
    table = control_name(warehouse.dialect, "deployed")
    listed = rows(warehouse, f"SELECT feature_view, fingerprint FROM {table}")
    return [(row["feature_view"], row["fingerprint"]) for row in listed]


def ready(warehouse: Warehouse, program: Program, showing: str | None, through: datetime) -> bool:
    """Whether this version may be shown instead of `showing`: the first of a view at once, so that its tables are
    there to be looked at; a redefined one when it is computed through `through`, and its old version shows until then.
    """
    return showing is None or head(warehouse, program.head).frontier >= through
