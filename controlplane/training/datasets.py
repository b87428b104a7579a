"""Training sets: checked against the ledger, created in one transaction, never changed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controlplane.base import naming
from controlplane.base.ports import Warehouse, described
from controlplane.base.types import (
    Interval,
    format_duration,
    format_instant,
    from_micros,
    subtract,
    utc,
)
from controlplane.compile.transformation import canonical, is_table, one_statement
from controlplane.control import ledger
from controlplane.errors import PermanentError, PlaneError, Problems
from controlplane.manifest.specs import Manifest
from controlplane.manifest.timing import timing
from controlplane.sql import inline, training
from controlplane.sql import spine as spine_sql
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import explained, long_sums
from controlplane.training import uploads
from controlplane.training.listed import Created, ViewGaps, WithoutValues, existing

_SHOWN_GAPS = 3
# Times beyond these become these: the end of the last interval must fit into a datetime.
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)


def create(
    manifest: Manifest,
    warehouse: Warehouse,
    *,
    name: str,
    service: str,
    spine: Any,  # noqa: ANN401 - a text, or a DataFrame of any library
    time: str,
    created_by: str,
    allow_gaps: bool = False,
    as_of: str = "scheduled",
    from_source: bool = False,
    now: datetime | None = None,
) -> Created:
    """Create the next version of a training set.

    Args:
        manifest: the deployed manifest, or the checked definitions with `from_source`.
        warehouse: runs the statement; no rows leave it.
        name: letters, digits and single underscores.
        service: the feature service whose features the training set gets.
        spine: a table or a query with the keys and a time for each row, and any other columns; or a
            DataFrame (pandas, Polars, Arrow) or a file (.parquet, .csv) with these columns. At most
            100,000 rows of a DataFrame or a file are sent to a remote warehouse.
        time: the spine's column with the instant at which each prediction is made.
        created_by: the user who creates it.
        allow_gaps: accept that values from before a gap are carried over it.
        as_of: `scheduled` gives the values that should have been visible, `served` the values that
            the tables really had, including late values and values before their correction.
        from_source: compute the features from their sources within the statement, as if all
            intervals had been computed. The features need not be deployed.
        now: the environment's current time, beyond which sources can't be computed.

    Raises:
        PlaneError: the spine lacks a column, or the features are not computed as far as the spine
            needs.
    """
    if not naming.is_name(name):
        raise PlaneError(f"{name!r} can't name a training set", hint=naming.name_remedy(name))
    if as_of not in training.AS_OF:
        raise PlaneError(
            f"a training set can't be as of {as_of!r}",
            hint=f"choose from: {', '.join(training.AS_OF)}",
        )
    if as_of == "served" and manifest.now is not None:
        raise PlaneError(
            f"environment {manifest.environment!r} has a fixed now: nothing was served at its"
            " times",
            hint="leave out --as-of, or use an environment without a fixed now",
        )
    if as_of == "served" and from_source:
        raise PlaneError(
            "served values can't be computed from sources",
            hint="leave out --as-of or --from-source",
        )
    tag = naming.query_tag(manifest.project, manifest.environment, service, created_by, "dataset")
    with ExitStack() as stack:
        if isinstance(spine, Path) or (isinstance(spine, str) and spine.endswith(uploads.FILES)):
            query, noted = stack.enter_context(uploads.of_file(warehouse, Path(spine), tag))
        elif isinstance(spine, str):
            query, noted = _query(spine, manifest.dialect), ""
        else:
            query, noted = stack.enter_context(uploads.uploaded(warehouse, spine, tag))
        dataset = training.Dataset(name, 0, service, query, time, created_by, as_of, noted=noted)
        return _create(
            manifest,
            warehouse,
            dataset,
            tag,
            allow_gaps=allow_gaps,
            from_source=from_source,
            now=now,
        )


def _create(
    manifest: Manifest,
    warehouse: Warehouse,
    dataset: training.Dataset,
    tag: str,
    *,
    allow_gaps: bool,
    from_source: bool,
    now: datetime | None,
) -> Created:
    name, query = dataset.name, dataset.spine
    try:
        canonical(query, manifest.dialect)
        columns = described(warehouse, query)
    except ValueError as error:
        hint = "give a table's name, or one SELECT that returns keys and times"
        raise PlaneError(f"the spine can't be read: {error}", hint=hint) from None
    except PermanentError as error:
        raise PlaneError(
            f"the warehouse refuses the spine: {error.message}", hint=error.hint
        ) from None
    training.check_spine(manifest, dataset, columns)
    check_nulls(manifest, warehouse, dataset)
    if from_source:
        inline.check_together(manifest, manifest.views_of(manifest.service(dataset.service)))
        _, last = _times(manifest, warehouse, dataset)
        starts = [view.start for view in manifest.views_of(manifest.service(dataset.service))]
        dataset = dataclasses.replace(dataset, through=last or max(starts))
        if last is not None and now is not None:
            check_due(manifest, dataset, last, now)
    elif not allow_gaps:
        check_covered(manifest, warehouse, dataset)
    # No version is ever made again, so that a model's record of its training set stays true.
    earlier = (d.version for d in existing(warehouse, dropped=True) if d.name == name)
    version = 1 + max(earlier, default=0)
    dataset = dataclasses.replace(dataset, version=version)
    statements = training.render_dataset(manifest, dataset, columns)
    # Not in the transaction below: some warehouses commit before and after each CREATE SCHEMA.
    warehouse.execute(training.prepare(manifest, dataset), tag=tag)
    sums = [
        naming.feature(view.name, feature)
        for view in manifest.views_of(manifest.service(dataset.service))
        for feature in (long_sums(view) if from_source else ())
    ]
    with explained(f"training set {name!r}", long_sums=sums):
        warehouse.execute(statements, tag=tag, atomic=True)
    created = next(d for d in existing(warehouse) if (d.name, d.version) == (name, version))
    return dataclasses.replace(
        created, without_values=_without_values(manifest, warehouse, dataset, tag)
    )


def _query(spine: str, dialect_name: str) -> str:
    """Return the query of a spine: a query, a table's name, or a quoted file that DuckDB reads."""
    text = one_statement(spine, dialect_name)
    is_file = dialect_name == "duckdb" and re.fullmatch(r"'[^']+'", text) is not None
    return f"SELECT * FROM {text}" if is_file or is_table(text) else text


def _without_values(
    manifest: Manifest, warehouse: Warehouse, dataset: training.Dataset, tag: str
) -> WithoutValues:
    """Count the rows of a training set that can have no values."""
    [row] = ledger.rows(warehouse, spine_sql.counts_query(manifest, dataset), tag=tag)
    views = {
        view.name: ViewGaps(
            row[f"null_keys_{position}"],
            row[f"unknown_keys_{position}"],
            row[f"early_times_{position}"],
        )
        for position, view in enumerate(manifest.views_of(manifest.service(dataset.service)))
    }
    return WithoutValues(row["null_times"], views)


def check_covered(manifest: Manifest, warehouse: Warehouse, dataset: training.Dataset) -> None:
    """Check that every feature is computed without a gap up to the spine's last time.

    As of `served`, also check that the spine begins after the first publication.

    Raises:
        Problems: for each view, the intervals that are missing.
    """
    first, last = _times(manifest, warehouse, dataset)
    if first is None or last is None:
        return
    # All versions in one query, not one query for each view.
    publications = ledger.entries(warehouse)
    problems: list[PlaneError] = []
    for view in manifest.views_of(manifest.service(dataset.service)):
        through = timing(view).computed_through(last)
        if view.end is not None:
            through = min(through, view.end)
        if through <= view.start:
            continue
        entries = publications.get((f"{manifest.schema}.{view.name}", view.fingerprint), [])
        covered = ledger.covered(entries)
        gaps = subtract(Interval(view.start, through), covered)
        if gaps:
            problems.append(_gap(view.name, gaps, format_duration(view.schedule)))
        elif dataset.as_of == "served" and first < (
            first_published := from_micros(entries[0].version)
        ):
            text = (
                f"feature view {view.name!r} served nothing before"
                f" {format_instant(first_published)}, its first publication"
            )
            hint = (
                "leave out earlier rows; or omit --as-of; or pass --allow-gaps to get nulls in"
                " earlier rows"
            )
            problems.append(PlaneError(text, hint=hint))
    if problems:
        raise Problems(problems)


def check_nulls(manifest: Manifest, warehouse: Warehouse, dataset: training.Dataset) -> None:
    """Check that the spine has no null in a request field that a read may not leave null.

    Raises:
        Problems: the request fields that are null, with the number of rows.
    """
    query = training.nulls_query(manifest, dataset)
    counts = next(iter(ledger.rows(warehouse, query))) if query else {}
    problems: list[PlaneError] = [
        PlaneError(
            f"the spine's column {name!r}, a request field that may not be null, is null in {count}"
            " rows",
            hint="leave out these rows, or declare it in the request's nullable",
        )
        for name, count in counts.items()
        if count
    ]
    if problems:
        raise Problems(problems)


def check_due(manifest: Manifest, dataset: training.Dataset, last: datetime, now: datetime) -> None:
    """Check that every interval up to the spine's last time is due: its rows have arrived.

    Raises:
        Problems: for each view, how far it can be computed.
    """
    problems: list[PlaneError] = []
    for view in manifest.views_of(manifest.service(dataset.service)):
        through, due = timing(view).computed_through(last), timing(view).computed_through(now)
        if due < through and (view.end is None or due < view.end):
            text = (
                f"the spine's last time, {format_instant(last)}, needs feature view {view.name!r}"
                " computed through"
            )
            hint = (
                f"at {format_instant(now)} it is due through {format_instant(due)}: leave out later"
                " rows"
            )
            problems.append(PlaneError(f"{text} {format_instant(through)}", hint=hint))
    if problems:
        raise Problems(problems)


def _times(
    manifest: Manifest, warehouse: Warehouse, dataset: training.Dataset
) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last time of the spine; None if it has none."""
    d = dialect(manifest.dialect)
    query = spine_sql.times_query(manifest, dataset, d.instant(_FIRST), d.instant(_LAST))
    for row in ledger.rows(warehouse, query):
        return utc(row["first_time"]), utc(row["last_time"])
    return None, None


def _gap(view: str, gaps: Sequence[Interval], schedule: str) -> PlaneError:
    shown = ", ".join(str(gap) for gap in gaps[:_SHOWN_GAPS])
    more = f" and {len(gaps) - _SHOWN_GAPS} more" if len(gaps) > _SHOWN_GAPS else ""
    return PlaneError(
        f"feature view {view!r} is not computed as far as the spine needs: {shown}{more} (schedule"
        f" {schedule})",
        hint=(
            "run `plane run`, or leave out later rows, or pass --allow-gaps to carry old values"
            " over the gap"
        ),
    )
