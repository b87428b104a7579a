"""The steps of one run of one view.

Each step takes SQL whose variables are filled in, and may be repeated. The order is stage, check,
publish, sync (see `online.syncing`), activate; unstage comes last, also after a failure. Rows that
fail a check are not published, and rows that are not published are not synced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from controlplane.base.ports import OnlineStore, Statement, Warehouse
from controlplane.base.types import format_instant
from controlplane.control import ledger
from controlplane.errors import CheckFailed, PermanentError, TransientError
from controlplane.online import records
from controlplane.release.program import Program
from controlplane.sql import statements
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import HINT, explained

_SHOWN = 60  # characters of a value


def stage(program: Program, warehouse: Warehouse, sql: str) -> None:
    """Compute the interval's rows into a table of their own.

    Raises:
        PermanentError: a source's columns are not those of the deploy; nothing was written.
    """
    _check_sources(program, warehouse)
    with explained(f"feature view {program.view!r}", program.location):
        warehouse.execute(statements.read(sql), tag=program.tag("stage"))


def check_upstream(program: Program, warehouse: Warehouse, end: datetime) -> None:
    """Check that upstream views are computed far enough for an interval that ends at `end`.

    Raises:
        TransientError: one of them is not computed far enough.
    """
    # A run would publish without the missing rows, and no later run would add them.
    for upstream in program.upstream:
        needed = upstream.needed(end)
        if (
            needed > upstream.timing.start
            and ledger.head(warehouse, upstream.head).watermark < needed
        ):
            raise TransientError(
                f"feature view {program.view!r} reads feature view {upstream.view!r}, which is not"
                f" computed without a gap through {format_instant(needed)}",
                hint=f"compute it first: `plane run {upstream.view}`",
            )


@dataclass(frozen=True)
class Checked:
    """The result of one expectation.

    Attributes:
        source: The name of the checked source; None for the rows that the view's SQL returns.
        name: The name of the expectation.
        severity: `error` or `warning`.
        row_count: The number of checked rows.
        failed_count: The number of rows that fail.
        passed: Whether few enough rows fail.
        observed: A failing value, or a summary of the rows.
    """

    source: str | None
    name: str
    severity: str
    row_count: int
    failed_count: int
    passed: bool
    observed: str | None

    def __str__(self) -> str:
        where = f"source {self.source}, " if self.source else ""
        seen = f" ({self.observed[:_SHOWN]})" if self.observed else ""
        return f"{where}{self.name}: {self.failed_count:,} of {self.row_count:,} fail{seen}"


@dataclass(frozen=True)
class StageCounts:
    """Counts of a stage's rows.

    Attributes:
        row_count: All rows.
        null_keys: Rows without a key.
        null_times: Rows without an event time.
        untimed_rows: Rows of the sources without an event time: no run reads them.
        dropped_count: Rows that are not published.
        replaced_tiles: Tiles that an earlier run computed for the interval.
        out_of_bounds: Rows whose event time is outside the view's bounds of the source's time.
        endless_rows: Rows of the sources with an infinite event time.
        out_of_range: A text about values outside their types; empty if there are none.
        expectations: The results of the expectations.
    """

    row_count: int
    null_keys: int
    null_times: int
    untimed_rows: int
    dropped_count: int
    replaced_tiles: int
    # The SQL of a release that an earlier version of controlplane wrote does not count these.
    out_of_bounds: int = 0
    endless_rows: int = 0
    out_of_range: str = ""
    expectations: Sequence[Checked] = ()

    @property
    def warnings(self) -> list[str]:
        """Problems that don't stop a publication: failed expectations, rows that are dropped."""
        warnings = [
            str(result)
            for result in self.expectations
            if not result.passed and result.severity != "error"
        ]
        if self.out_of_bounds:
            warnings.append(
                f"{self.out_of_bounds:,} rows have an event time outside of event_time_bounds: they"
                " are left out"
            )
        if self.untimed_rows:
            warnings.append(
                f"{self.untimed_rows:,} rows of the sources have no event time: no run reads them"
            )
        return warnings


def check(program: Program, warehouse: Warehouse, sql: str) -> StageCounts:
    """Count the stage's rows, and check and record their expectations.

    Raises:
        CheckFailed: a value is out of range, or an event time is infinite; or an expectation of
            severity error is not met; or all rows would be dropped, and they are the view's first
            rows or would replace values.
    """
    count, *expectations = statements.read(sql)
    results: list[Checked] = []
    with explained(f"feature view {program.view!r}", program.location):
        if expectations:
            *record, read = expectations
            warehouse.execute(record, tag=program.tag("check"), atomic=True)
            results = [Checked(**row) for row in ledger.rows(warehouse, read.sql)]
        [row] = ledger.rows(warehouse, count.sql)
    counts = StageCounts(**row, expectations=results)
    _check_values(program, counts)
    # Dropping all rows points to a mistake in the definition or the source. But in a quiet interval
    # the only row may be bad: failing there would stop the view for good.
    all_bad = counts.row_count > 0 and counts.dropped_count == counts.row_count
    if all_bad and (counts.replaced_tiles or ledger.head(warehouse, program.head).version == 0):
        raise CheckFailed(
            f"feature view {program.view!r}: all {counts.row_count} rows of the interval lack a key"
            " or an event time",
            hint=(
                f"look at {', '.join(program.sources)}: {counts.null_keys} rows have a null key, "
                f"{counts.null_times} no event time"
            ),
        )
    failed = [str(r) for r in results if not r.passed and r.severity == "error"]
    if failed:
        number = "an expectation is" if len(failed) == 1 else f"{len(failed)} expectations are"
        raise CheckFailed(
            f"feature view {program.view!r}: {number} not met, so nothing was published:"
            f" {'; '.join(failed)}",
            where=program.location,
            hint=(
                f"correct the rows of {', '.join(program.sources)} or change the expectation, and"
                " run it again"
            ),
        )
    return counts


def _check_values(program: Program, counts: StageCounts) -> None:
    where, subject = program.location, f"feature view {program.view!r}"
    if counts.out_of_range:
        columns = counts.out_of_range.removesuffix("; ")
        text = f"{subject}: values are out of range, so nothing was published: {columns}"
        raise CheckFailed(text, where=where, hint=HINT)
    if counts.endless_rows:
        text = (
            f"{subject}: {counts.endless_rows:,} rows of {', '.join(program.sources)} have an"
            " infinite event time"
        )
        hint = (
            "create a view in the warehouse without these rows, and let the source read that view"
        )
        raise CheckFailed(f"{text}, so nothing was published", where=where, hint=hint)


def publish(program: Program, warehouse: Warehouse, sql: str, run_id: str) -> ledger.Head:
    """Replace the interval in tiles, history, newest rows and ledger, and return the new head.

    All changes take effect together. In a warehouse without transactions, they take effect one
    statement after the other: a run that stops in between must be repeated.

    Raises:
        TransientError: another run took the head meanwhile, so that this run is written in part.
    """
    subject = f"feature view {program.view!r}"
    with explained(subject, program.location, program.long_sums):
        _publish(warehouse, statements.read(sql), program.tag("publish"))
    head = ledger.head(warehouse, program.head)
    # Without transactions, each statement checks that the run still has the head: after another run
    # took it, the rest of this run changed nothing.
    if not dialect(warehouse.dialect).transactional and head.run_id != run_id:
        raise TransientError(
            f"feature view {program.view!r}: run {head.run_id} took over before this run was"
            " complete",
            hint="run it again, and run only one run of a view at a time",
        )
    return head


def _publish(warehouse: Warehouse, publication: Sequence[Statement], tag: str) -> None:
    """Run the statements for the next interval; if it isn't the next one, those for any interval.

    The table that collects changes is made before, since most warehouses commit at a definition;
    `unstage` drops it.
    """
    following = [s for s in publication if s.variant == "next"]
    if following:
        first = msgspec.structs.replace(following[0], decides=True)
        counts = warehouse.execute([first, *following[1:]], tag=tag, atomic=True)
        if len(counts) == len(following):
            return
    general = [s for s in publication if not s.variant]
    if made := [s for s in general if s.kind == "create_table"]:
        warehouse.execute(made, tag=tag)
    warehouse.execute([s for s in general if s.kind != "create_table"], tag=tag, atomic=True)


def unstage(program: Program, warehouse: Warehouse, sql: str) -> None:
    """Drop the stage if it exists."""
    warehouse.execute(statements.read(sql), tag=program.tag("unstage"))


def activate(
    program: Program, warehouse: Warehouse, store: OnlineStore | None, sql: str, now: datetime
) -> bool:
    """Point public views and online readers to this version, if `may_show` of `ledger` allows it.

    A run that began with an earlier release changes nothing, because its version is not deployed
    any more.

    Returns:
        Whether the public views show this version.
    """
    versions = ledger.Versions(warehouse)
    if not versions.may_show(program, now):
        return False
    if not versions.shows(program):
        warehouse.execute(statements.read(sql), tag=program.tag("activate"), atomic=True)
    if store is not None and program.online:
        pointers = records.read_pointers(store, program.namespace).versions
        if pointers.get(program.view) != program.fingerprint:
            records.point(store, program.namespace, {program.view: program.fingerprint})
    return True


def _check_sources(program: Program, warehouse: Warehouse) -> None:
    actual = warehouse.columns(list(program.sources))
    changed: list[str] = []
    for table, expected in program.sources.items():
        columns = actual[table]
        if columns is None:
            changed.append(f"{table} is missing")
            continue
        for name, canonical in expected.items():
            if name not in columns:
                changed.append(f"{table}.{name} is missing")
            elif columns[name] != canonical:
                changed.append(f"{table}.{name} is {columns[name]}, was {canonical}")
    if changed:
        raise PermanentError(
            f"feature view {program.view!r}: its sources have changed since the deploy:"
            f" {'; '.join(changed)}",
            hint="restore the columns, or adapt the definition and deploy it",
        )
