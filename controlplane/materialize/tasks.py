"""The steps of one run of one view.

Each takes SQL whose open places are filled, and may be run again.

Order: stage -> check -> publish -> sync (see `online.syncing`) -> activate, and unstage whatever
happened. What staged rows fail, nothing publishes; what is not published, nothing syncs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import format_instant
from controlplane.control import ledger
from controlplane.errors import CheckFailed, PermanentError, TransientError
from controlplane.online import records
from controlplane.release.program import Program
from controlplane.sql.dialects import dialect
from controlplane.sql.range_errors import HINT, explained
from controlplane.sql.statements import split

_SHOWN = 60  # characters of a value


def stage(program: Program, warehouse: Warehouse, sql: str) -> None:
    """Compute the interval's rows into a table of their own.

    Raises:
        PermanentError: a source's columns are not those of the deploy; nothing was written.
    """
    _check_sources(program, warehouse)
    with explained(f"feature view {program.view!r}", program.location):
        warehouse.execute(split(sql), tag=program.tag("stage"))


def check_upstream(program: Program, warehouse: Warehouse, end: datetime) -> None:
    """Check that the views which it reads are computed as far as an interval that ends at `end`
    needs them.

    Raises:
        TransientError: one is not; what is missing of it would be missing here for good.
    """
    for upstream in program.upstream:
        needed = upstream.needed(end)
        if (
            needed > upstream.timing.start
            and ledger.head(warehouse, upstream.head).frontier < needed
        ):
            raise TransientError(
                f"feature view {program.view!r} reads feature view {upstream.view!r}, which is not"
                f" computed without a gap through {format_instant(needed)}",
                hint=f"compute it first: `plane run {upstream.view}`",
            )


@dataclass(frozen=True)
class Checked:
    """What became of one expectation: of so many rows so many fail it; `observed` is one value that
    does, or what was seen; `source` is None where it speaks of what the view's SQL returns."""

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
    """The rows of a stage, and those among them that are left out because they lack a key or an
    event time.

    `out_of_bounds` are rows whose event time is not within the view's bounds of the source's time;
    `untimed_rows` are rows of the sources, whenever they came, that no run reads because they have
    no event time, and `endless_rows` those whose event time is infinite; `out_of_range` says what
    lies outside its type, if anything does; `replaced_tiles` counts what was computed for the
    interval before.
    """

    row_count: int
    null_keys: int
    null_times: int
    out_of_bounds: int
    untimed_rows: int
    endless_rows: int
    out_of_range: str
    dropped_count: int
    replaced_tiles: int
    expectations: Sequence[Checked] = ()

    @property
    def warnings(self) -> list[str]:
        """What blocks nothing and should be known: expectations that are not met, rows that are
        never read."""
        found = [
            str(one) for one in self.expectations if not one.passed and one.severity != "error"
        ]
        if self.out_of_bounds:
            found.append(
                f"{self.out_of_bounds:,} rows have an event time outside of event_time_bounds: they"
                " are left out"
            )
        if self.untimed_rows:
            found.append(
                f"{self.untimed_rows:,} rows of the sources have no event time: no run reads them"
            )
        return found


def check(program: Program, warehouse: Warehouse, sql: str) -> StageCounts:
    """Count the stage's rows and those that will be dropped, and check and record what is expected
    of them.

    Raises:
        CheckFailed: a value lies outside its type, or an event time is infinite. Or an expectation
            of severity error is not met. Or all rows would be dropped, and they are the view's
            first or would replace values: that is a mistake in the definition or in the source.
            Otherwise they are dropped and counted, lest one bad row stop a quiet hour for good.
    """
    count, *expectations = split(sql)
    found: list[Checked] = []
    with explained(f"feature view {program.view!r}", program.location):
        if expectations:
            *record, read = expectations
            warehouse.execute(record, tag=program.tag("check"), atomic=True)
            found = [Checked(**row) for row in ledger.rows(warehouse, read.sql)]
        [row] = ledger.rows(warehouse, count.sql)
    counts = StageCounts(**row, expectations=found)
    _check_values(program, counts)
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
    failed = [str(one) for one in found if not one.passed and one.severity == "error"]
    if failed:
        number = "an expectation is" if len(failed) == 1 else f"{len(failed)} expectations are"
        raise CheckFailed(
            f"feature view {program.view!r}: {number} not met, so nothing was published:"
            f" {'; '.join(failed)}",
            where=program.location,
            hint=(
                f"correct the rows of {', '.join(program.sources)} or change what is expected, and"
                " run it again"
            ),
        )
    return counts


def _check_values(program: Program, counts: StageCounts) -> None:
    where, what = program.location, f"feature view {program.view!r}"
    if counts.out_of_range:
        found = counts.out_of_range.removesuffix("; ")
        text = f"{what}: values are out of range, so nothing was published: {found}"
        raise CheckFailed(text, where=where, hint=HINT)
    if counts.endless_rows:
        text = (
            f"{what}: {counts.endless_rows:,} rows of {', '.join(program.sources)} have an infinite"
            " event time"
        )
        hint = "filter them out in a view of the warehouse, and let the source read that"
        raise CheckFailed(f"{text}, so nothing was published", where=where, hint=hint)


def publish(program: Program, warehouse: Warehouse, sql: str, run_id: str) -> ledger.Head:
    """Replace the interval in tiles, history, newest rows and ledger, and return the new head.

    All of it takes effect together; where the warehouse has no transactions, one statement after
    the other, and a run that was stopped in between is mended when it is run again.

    Raises:
        TransientError: another run took the head meanwhile, so that not all of this one was
            written.
    """
    with explained(f"feature view {program.view!r}", program.location):
        warehouse.execute(split(sql), tag=program.tag("publish"), atomic=True)
    head = ledger.head(warehouse, program.head)
    if not dialect(warehouse.dialect).transactional and head.run_id != run_id:
        raise TransientError(
            f"feature view {program.view!r}: run {head.run_id} took over before this one was done",
            hint="run it again; let one run of a view go on at a time",
        )
    return head


def unstage(program: Program, warehouse: Warehouse, sql: str) -> None:
    """Drop the stage, if it is there."""
    warehouse.execute(split(sql), tag=program.tag("unstage"))


def activate(
    program: Program, warehouse: Warehouse, store: OnlineStore | None, sql: str, through: datetime
) -> bool:
    """Point users' views and online readers to this version, as soon as `control.ledger.ready` says
    that it may show.

    A run that began with an earlier release changes nothing: its version is not the deployed one
    any more. Returns whether this version shows.
    """
    showing = ledger.shown(warehouse, program)
    if showing != program.fingerprint:
        if not (
            ledger.deployed(warehouse, program)
            and ledger.ready(warehouse, program, showing, through)
        ):
            return False
        warehouse.execute(split(sql), tag=program.tag("activate"), atomic=True)
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
            changed.append(f"{table} is gone")
            continue
        for name, kind in expected.items():
            if name not in columns:
                changed.append(f"{table}.{name} is gone")
            elif columns[name] != kind:
                changed.append(f"{table}.{name} is {columns[name]}, was {kind}")
    if changed:
        raise PermanentError(
            f"feature view {program.view!r}: its sources have changed since the deploy:"
            f" {'; '.join(changed)}",
            hint="restore the columns, or adapt the definition and deploy it",
        )
