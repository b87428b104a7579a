"""Training sets: checked against the ledger, created in one transaction, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane import ledger, naming
from controlplane.errors import PermanentError, PlaneError, Problems
from controlplane.ports import Warehouse
from controlplane.registry.manifest import Manifest
from controlplane.registry.schedule import timing
from controlplane.registry.transformation import is_table
from controlplane.render import training
from controlplane.render.dialects import dialect
from controlplane.types import Interval, format_duration, subtract, utc

_SHOWN_GAPS = 3


@dataclass(frozen=True)
class Created:
    """A training set as the warehouse's list holds it; `table` is its quoted name."""

    name: str
    version: int
    service: str
    table: str
    row_count: int
    created_by: str
    created_at: datetime


def create(
    manifest: Manifest,
    warehouse: Warehouse,
    *,
    name: str,
    service: str,
    spine: str,
    time: str,
    created_by: str,
    allow_gaps: bool = False,
) -> Created:
    """Create the next version of a training set.

    Args:
        manifest: what is deployed.
        warehouse: where it runs; nothing is pulled out.
        name: letters, digits and single underscores.
        service: the feature service whose features it gets.
        spine: a table or a query with the keys and a time for each row, and any other columns.
        time: the spine's column with the instant at which each prediction is made.
        created_by: who asks for it.
        allow_gaps: accept that values from before a gap are carried over it.

    Raises:
        PlaneError: the spine lacks a column, or the features are not computed as far as the spine needs.
    """
    if not naming.is_name(name):
        raise PlaneError(f"{name!r} can't name a training set", hint="use letters, digits and single underscores")
    query = f"SELECT * FROM {spine.strip()}" if is_table(spine.strip()) else spine.strip().rstrip(";")
    dataset = training.Dataset(name, 0, service, query, time, created_by)
    try:
        columns = warehouse.describe(query)
    except PermanentError as error:
        raise PlaneError(f"the warehouse refuses the spine: {error.message}", hint=error.hint) from None
    training.check_spine(manifest, dataset, columns)
    if not allow_gaps:
        check_covered(manifest, warehouse, dataset)
    version = 1 + max((d.version for d in existing(manifest, warehouse) if d.name == name), default=0)
    dataset = training.Dataset(name, version, service, query, time, created_by)
    statements = training.render_dataset(manifest, dataset, columns)
    tag = naming.query_tag(manifest.project, manifest.environment, service, created_by, "dataset")
    warehouse.execute(statements, tag=tag, atomic=True)
    return next(d for d in existing(manifest, warehouse) if (d.name, d.version) == (name, version))


def existing(manifest: Manifest, warehouse: Warehouse) -> list[Created]:
    """All training sets, oldest first."""
    plain = f"{naming.CONTROL_SCHEMA}.datasets"
    if warehouse.columns([plain])[plain] is None:
        return []
    query = f"SELECT * FROM {training.list_table(manifest)} ORDER BY created_at, name, version"
    return [
        Created(
            name=row["name"],
            version=row["version"],
            service=row["service"],
            table=training.table(manifest, row["name"], row["version"]),
            row_count=row["row_count"],
            created_by=row["created_by"],
            created_at=utc(row["created_at"]),
        )
        for row in ledger.rows(warehouse, query)
    ]


def check_covered(manifest: Manifest, warehouse: Warehouse, dataset: training.Dataset) -> None:
    """Check that every feature is computed, without a gap, as far as the spine's last time needs it.

    Raises:
        Problems: for each view, the intervals that are missing.
    """
    d = dialect(manifest.dialect)
    [bounds] = ledger.rows(
        warehouse, f"SELECT max({d.utc(d.quote(dataset.time))}) AS last FROM ({dataset.spine}\n) AS spine"
    )
    if bounds["last"] is None:
        return
    last = utc(bounds["last"])
    publications = ledger.entries(warehouse, ledger.full_name(manifest.dialect))
    problems: list[PlaneError] = []
    for view in training.views_of(manifest, manifest.service(dataset.service)):
        through = timing(view).computed_through(last)
        if view.end is not None:
            through = min(through, view.end)
        if through <= view.start:
            continue
        covered = ledger.covered(publications.get((f"{manifest.schema}.{view.name}", view.fingerprint), ()))
        gaps = subtract(Interval(view.start, through), covered)
        if gaps:
            problems.append(_gap(view.name, gaps, format_duration(view.schedule)))
    if problems:
        raise Problems(problems)


def _gap(view: str, gaps: Sequence[Interval], schedule: str) -> PlaneError:
    shown = ", ".join(str(gap) for gap in gaps[:_SHOWN_GAPS])
    more = f" and {len(gaps) - _SHOWN_GAPS} more" if len(gaps) > _SHOWN_GAPS else ""
    return PlaneError(
        f"feature view {view!r} is not computed as far as the spine needs: {shown}{more} (schedule {schedule})",
        hint="run `plane run`, or leave out later rows, or pass --allow-gaps to carry old values over the gap",
    )
