"""List the last runs of a view, as the warehouse recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controlplane.base.types import Interval, utc
from controlplane.control import migrations
from controlplane.control.ledger import read_table
from controlplane.errors import PlaneError
from controlplane.materialize.tasks import Checked
from controlplane.sql.control_tables import LEDGER, METRICS
from controlplane.sql.dialects import dialect
from controlplane.workspace.project import Project

PUBLISHED, REFUSED = "published", "refused"


@dataclass(frozen=True)
class LogEntry:
    """A run of one range of intervals.

    Attributes:
        at: when it published, or when its check refused to.
        state: `published` or `refused`.
        interval: the range.
        fingerprint: the version of the view.
        run_id: the run.
        rows: the rows that it published; None if it was refused.
        dropped: the rows without a key or a time; None if it was refused.
        failed: the expectations that were not met, in words.
    """

    at: datetime
    state: str
    interval: Interval
    fingerprint: str
    run_id: str
    rows: int | None = None
    dropped: int | None = None
    failed: Sequence[str] = field(default_factory=list)


_Run = tuple[str, str, datetime, datetime]


def logs(project: Project, view: str, limit: int = 20) -> list[LogEntry]:
    """See `ControlPlane.logs`."""
    _, manifest = project.current()
    # A view that is dropped still has its runs.
    names = dict.fromkeys(spec.name for _, _, spec in project.versions())
    if view not in names:
        text = f"no feature view {view!r} was ever deployed"
        raise PlaneError(text, hint=f"choose from: {', '.join(names)}")
    warehouse = project.warehouse
    migrations.check(warehouse)
    d = dialect(warehouse.dialect)
    of_view = f" WHERE feature_view = {d.text(f'{manifest.schema}.{view}')}"
    published = read_table(warehouse, LEDGER, f"{of_view} ORDER BY version DESC LIMIT {limit}")
    failures: dict[_Run, list[dict[str, Any]]] = {}
    newest = f"{of_view} AND NOT passed ORDER BY checked_at DESC LIMIT {limit * 10}"
    for row in read_table(warehouse, METRICS, newest) or ():
        failures.setdefault(_run(row), []).append(row)
    entries = [
        LogEntry(
            utc(row["published_at"]),
            PUBLISHED,
            Interval(utc(row["interval_start"]), utc(row["interval_end"])),
            row["fingerprint"],
            row["run_id"],
            row["row_count"],
            row["dropped_count"],
            [_words(failure) for failure in _taken(failures, row)],
        )
        for row in published or ()
    ]
    # What is left was not published: an expectation of severity error was not met.
    entries += [
        LogEntry(
            utc(rows[0]["checked_at"]),
            REFUSED,
            Interval(utc(rows[0]["interval_start"]), utc(rows[0]["interval_end"])),
            rows[0]["fingerprint"],
            rows[0]["run_id"],
            failed=[_words(row) for row in rows],
        )
        for rows in failures.values()
        if any(row["severity"] == "error" for row in rows)
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


def _taken(failures: dict[_Run, list[dict[str, Any]]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the failures of a publication out of all failures."""
    # A later run of the same interval may have the same id: its check comes after the publication.
    run = failures.get(_run(row), [])
    if any(failure["checked_at"] > row["published_at"] for failure in run):
        return []
    return failures.pop(_run(row), [])


def _run(row: dict[str, Any]) -> _Run:
    return (row["fingerprint"], row["run_id"], row["interval_start"], row["interval_end"])


def _words(row: dict[str, Any]) -> str:
    """Describe an expectation that was not met, as the run's error did."""
    names = ("source", "name", "severity", "row_count", "failed_count", "passed", "observed")
    return f"{row['severity']}: {Checked(**{name: row[name] for name in names})}"
