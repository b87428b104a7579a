"""The rows of a view in SQL: the source rows that an interval sees, and the result rows it keeps.

A view that is row by row is one query over any range. For other views, each interval is evaluated
as if it were the only one. It gets a statement of its own, or shares one with other intervals if
the dialect can evaluate a query once for each row of another relation (`Dialect.laterals`) and the
result doesn't depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from controlplane.base import naming
from controlplane.base.types import EPOCH
from controlplane.compile import transformation
from controlplane.manifest.specs import (
    IntervalByInterval,
    Manifest,
    Pruning,
    SourceSpec,
    ViewSpec,
)
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified

INTERVAL = "plane_interval"
"""The column with the start of the interval for which a row was copied."""
OUTSIDE = "plane_outside"
"""The column that is true if a row's event time is beyond the declared bounds."""
MOST_COPIES = 200
"""If more intervals than this see a row, each interval gets a statement instead of a copy."""
_NEAR = timedelta(days=2)
"""No local time, and no local date, is farther from UTC than this (zones span -12h to +14h)."""


def evaluated_together(manifest: Manifest, view: ViewSpec, d: Dialect) -> bool:
    """Whether one statement can evaluate many intervals, each as if it were the only one."""
    if not isinstance(view.evaluation, IntervalByInterval):
        return True
    if not (d.laterals and view.evaluation.steady):
        return False
    sources = [manifest.source(name) for name in view.sources]
    return all(_copies(view, source) <= MOST_COPIES for source in sources if source.timestamp)


def _copies(view: ViewSpec, source: SourceSpec) -> float:
    """Return how many intervals see a row of a source."""
    if source.lookback is None:
        return float("inf")
    wider = view.bounds.high - view.bounds.low if view.bounds else timedelta(0)
    return (source.lookback + wider) / view.schedule + 1


class Spread(NamedTuple):
    """A source whose rows are copied for every interval that sees them.

    `name` is its common table; `query` has a column `INTERVAL`.
    """

    name: str
    query: str


class Step(NamedTuple):
    """One interval of a run in SQL: its start and end, and the time since which rows are kept."""

    start: str
    end: str
    since: str


class RowsSql:
    """The SQL that makes the rows of a view, for the templates.

    Args:
        manifest: the declared project.
        view: one of its views.
        d: the dialect.
        tables: returns the relation that is read for a source, and its columns.
        literal: escapes users' text in a release, which a run renders a second time.
    """

    def __init__(
        self,
        manifest: Manifest,
        view: ViewSpec,
        d: Dialect,
        tables: Callable[[SourceSpec], tuple[str, str]],
        literal: Callable[[str], str],
    ) -> None:
        self._view, self._d, self._tables, self._literal = view, d, tables, literal
        self._sources = [manifest.source(name) for name in view.sources]
        self._reads_view = {s.name: manifest.read_view(s) is not None for s in self._sources}
        self._low = view.bounds.low if view.bounds else timedelta(0)
        self._high = view.bounds.high if view.bounds else timedelta(0)
        self.by_interval = isinstance(view.evaluation, IntervalByInterval)
        self.together = self.by_interval and evaluated_together(manifest, view, d)
        self.apart = self.by_interval and not self.together
        self.micros = view.schedule // timedelta(microseconds=1)
        self.origin = d.instant(EPOCH + view.phase)
        self.interval_end = d.plus(f"plane_each.{INTERVAL}", view.schedule)

    def relation(self, source: SourceSpec, start: str, end: str) -> str:
        """Render a source's rows with a time in `[start, end)`; all rows of a static table."""
        table, columns = self._tables(source)
        if source.timestamp is None:
            return f"SELECT {columns} FROM {table}"
        ts = self._d.quote(source.timestamp)
        lower = f"{ts} >= {start} AND " if start else ""
        if not source.time_sql:
            return f"SELECT {columns} FROM {table} WHERE {lower}{ts} < {end}"
        pruned = (
            " AND ".join(self._pruned(source, source.pruning, start, end)) if source.pruning else ""
        )
        timed = f"{self._timed(source)} WHERE {pruned}" if pruned else self._timed(source)
        return (
            f"SELECT * FROM (\n    {timed}\n  ) AS plane_timed"
            f" WHERE {' AND '.join([f'{lower}{ts} < {end}', *self._near(source, ts)])}"
        )

    def _whole(self, source: SourceSpec) -> str:
        """Render all rows of a source that have a time."""
        table, columns = self._tables(source)
        if not source.time_sql:
            return f"SELECT {columns} FROM {table}"
        near = " AND ".join(self._near(source, self._d.quote(source.timestamp or "")))
        rows = f"SELECT * FROM ({self._timed(source)}) AS plane_timed"
        return f"{rows} WHERE {near}" if near else rows

    def _timed(self, source: SourceSpec) -> str:
        """Render a source with the value of its time expression as a column."""
        table, columns = self._tables(source)
        name = self._d.quote(source.timestamp or "")
        return f"SELECT {columns}, {self._time(source)} AS {name} FROM {table}"

    def _time(self, source: SourceSpec) -> str:
        """Render the time of a row of a source's table."""
        if source.time_sql:
            return self._d.utc(f"({self._literal(source.time_sql)})")
        return self._d.quote(source.timestamp or "")

    def _pruned(self, source: SourceSpec, pruning: Pruning, start: str, end: str) -> list[str]:
        """List conditions on the raw column that every row with a time in `[start, end)` meets."""
        raw = self._d.quote(pruning.column)
        if pruning.scale is not None:
            # One unit more at each end: warehouses divide and round in different ways.
            lower = [f"{raw} >= {self._number(start, pruning.scale)} - 1"] if start else []
            return [*lower, f"{raw} <= {self._number(end, pruning.scale)} + 1"]
        return self._within_days(source, pruning, start, end)

    def _number(self, instant: str, scale: int) -> str:
        micros = self._d.micros(instant)
        return (
            f"{micros} / {10 ** (6 - scale)}" if scale <= 6 else f"{micros} * {10 ** (scale - 6)}"
        )

    def _within_days(self, source: SourceSpec, pruning: Pruning, start: str, end: str) -> list[str]:
        """List conditions that a raw date or timestamp is at most `_NEAR` outside a range."""
        d, raw = self._d, self._d.quote(pruning.column)
        lower, upper = (d.plus(instant, sign * _NEAR) for instant, sign in ((start, -1), (end, 1)))
        if dict(source.columns)[pruning.column] == "date":
            lower, upper = d.cast(lower, "date"), d.cast(upper, "date")
        return [*([f"{raw} >= {lower}"] if start else []), f"{raw} <= {upper}"]

    def _near(self, source: SourceSpec, ts: str) -> list[str]:
        """List conditions that a row with the time `ts` keeps the promise of `prune_by`."""
        # Pruning drops a row that breaks the promise only at the ends of a range. Without these
        # conditions, a run of a longer range would keep more of such rows.
        if source.pruning is None or source.pruning.scale is not None:
            return []
        return self._within_days(source, source.pruning, ts, ts)

    def transformation(self, start: str, end: str) -> str:
        """Render the user's SQL over the source rows that `[start, end)` sees.

        The result is a list of common tables, the last of which has the returned rows.
        """
        relations = {
            source.name: self.relation(source, *self._seen(source, start, end))
            for source in self._sources
        }
        return transformation.framed(self._literal(self._view.sql), relations)

    def _seen(self, source: SourceSpec, start: str, end: str) -> tuple[str, str]:
        """Return the first and last time that a range sees of a source; no first time is empty."""
        until = self._d.plus(end, -self._low)
        if self.by_interval and source.lookback is None:
            return "", until
        back = (source.lookback or timedelta(0)) if self.by_interval else timedelta(0)
        return self._d.plus(start, -self._high - back), until

    def spread(self, start: str, end: str) -> list[Spread]:
        """Render the timed sources, with each row once for every interval that sees it."""
        d, copies = self._d, list[Spread]()
        for source in self._sources:
            if source.timestamp is None:
                continue
            read = self.relation(source, *self._seen(source, start, end))
            ts = d.utc(d.quote(source.timestamp))
            first = self._interval_of(d.plus(ts, self._low))
            back = self._high + (source.lookback or timedelta(0))
            if not back and not self._low:
                interval = first
            else:
                last = self._interval_of(d.plus(ts, back))
                newest = d.plus(end, -self._view.schedule)
                step = f"to_microseconds({self.micros})"
                ends = f"greatest({first}, {start}), least({last}, {newest})"
                interval = f"unnest(generate_series({ends}, {step}))"
            query = f"SELECT *, {interval} AS {INTERVAL} FROM (\n    {read}\n  ) AS plane_read"
            copies.append(Spread(f"plane_spread_{len(copies)}", query))
        return copies

    def _interval_of(self, instant: str) -> str:
        return self._d.floor(instant, self._view.schedule, self._view.phase)

    def first_interval(self, read_start: str) -> str:
        """Render the start of the interval that holds an instant."""
        return self._interval_of(read_start)

    def transformation_of_each(self) -> str:
        """Render the user's SQL over the source rows that the interval of `plane_each` sees."""
        relations: dict[str, str] = {}
        number = 0
        for source in self._sources:
            if source.timestamp is None:
                relations[source.name] = self.relation(source, "", "")
                continue
            relations[source.name] = (
                f"SELECT * EXCLUDE ({INTERVAL}) FROM plane_spread_{number} "
                f"WHERE {INTERVAL} = plane_each.{INTERVAL}"
            )
            number += 1
        return transformation.framed(self._literal(self._view.sql), relations)

    def whole(self) -> str:
        """Render all rows of a view that is row by row: the last common table has the rows."""
        relations = {source.name: self._whole(source) for source in self._sources}
        framed = transformation.framed(self._literal(self._view.sql), relations)
        return self._kept(framed, f"NOT {self.outside}") if self.outside else framed

    def one_range(self, start: str, end: str) -> str:
        """Render the rows that a range keeps, evaluated as one; common tables like `whole`."""
        return self._kept(self.transformation(start, end), self.kept(start, end, counted=False))

    def each_of(self, start: str, end: str) -> str:
        """Render the rows that each interval of a range keeps, all in one statement."""
        output = transformation.OUTPUT
        named = ",\n".join(f"{name} AS (\n{query}\n)" for name, query in self.spread(start, end))
        kept = self.kept(f"plane_each.{INTERVAL}", self.interval_end, counted=False)
        each = f"({self.intervals(start, end)}) AS plane_each"
        rows = f"(\n{self.transformation_of_each()}\nSELECT * FROM {output}\n) AS {output}"
        selected = f"SELECT {output}.* FROM {each}, LATERAL {rows} WHERE {kept}"
        return f"WITH {named},\n{output} AS (\n{selected}\n)"

    def extent(self) -> str:
        """Render a query for the start and end of the intervals that the sources' rows can be in.

        Both are null if the sources have no rows.
        """
        times = []
        for source in self._sources:
            if source.timestamp is not None:
                time = self._d.utc(self._d.quote(source.timestamp))
                times.append(f"SELECT {time} AS instant FROM ({self._whole(source)}) AS plane_read")
        first = self._interval_of(self._d.plus("min(instant)", self._low))
        last = self._d.plus(
            self._interval_of(self._d.plus("max(instant)", self._high)), self._view.schedule
        )
        instants = " UNION ALL ".join(times)
        return f"SELECT {first} AS first_start, {last} AS last_end FROM ({instants}) AS plane_times"

    def intervals(self, start: str, end: str) -> str:
        """Render a query for the starts of a range's intervals."""
        step = f"to_microseconds({self.micros})"
        return f"SELECT unnest(generate_series({start}, {end} - {step}, {step})) AS {INTERVAL}"

    def _kept(self, framed: str, condition: str) -> str:
        output = transformation.OUTPUT
        return f"WITH {output} AS (\n{framed}\nSELECT * FROM {output} WHERE {condition}\n)"

    @property
    def outside(self) -> str:
        """The condition that an event time is beyond the declared bounds; empty without bounds."""
        bounds, d = self._view.bounds, self._d
        if bounds is None:
            return ""
        event, source = self._event_time, d.utc(d.quote(bounds.source_time))
        low, high = d.plus(source, bounds.low), d.plus(source, bounds.high)
        return f"({event} IS NOT NULL AND ({event} < {low} OR {event} > {high}))"

    @property
    def _event_time(self) -> str:
        return self._d.utc(self._d.quote(self._view.timestamp or ""))

    def kept(self, start: str, end: str, counted: bool = True) -> str:
        """Render the condition that a returned row belongs to `[start, end)`.

        With `counted`, rows that the run counts and then drops belong to it too.
        """
        name = self._d.quote(self._view.timestamp or "")
        event, endless = self._d.comparable(name), self._d.endless(name)
        inside = f"{event} >= {start} AND {event} < {end}"
        if self._view.bounds is None:
            never = f"{event} IS NULL" + (f" OR {endless}" if endless else "")
            return f"({inside}) OR {never}" if counted else inside
        source = self._d.utc(self._d.quote(self._view.bounds.source_time))
        kept = f"{inside} AND NOT {self.outside}"
        left_out = (
            f"({event} IS NULL OR {self.outside}) AND {source} >= {start} AND {source} < {end}"
        )
        return f"({kept}) OR ({left_out})" if counted else kept

    @property
    def untimed(self) -> str:
        """The number of rows of the sources' tables that no run reads.

        Of a table with several sources, such as the starts and the ends of periods, a run reads
        the rows that one of them gives a time: the end of a period that lasts is null.
        """
        unread: dict[str, list[str]] = {}
        for source in self._timed_tables():
            ts = self._time(source)
            near = " AND ".join(self._near(source, ts))
            never = f"{ts} IS NULL OR NOT coalesce({near}, FALSE)" if near else f"{ts} IS NULL"
            unread.setdefault(self._tables(source)[0], []).append(never)
        counts = [
            f"(SELECT count(*) FROM {table} WHERE {_all_of(conditions)})"
            for table, conditions in unread.items()
        ]
        return " + ".join(counts) or "0"

    @property
    def endless(self) -> str:
        """The number of source rows with an infinite event time."""
        counts = [
            f"(SELECT count(*) FROM {self._tables(source)[0]} WHERE {condition})"
            for source in self._timed_tables()
            if (condition := self._d.endless(self._time(source)))
        ]
        return " + ".join(counts) or "0"

    def _timed_tables(self) -> Iterator[SourceSpec]:
        """Yield each source that is a raw table with a time."""
        # Histories of other views are left out: their times are never null or infinite.
        for source in self._sources:
            if source.timestamp is not None and not self._reads_view[source.name]:
                yield source


def _all_of(conditions: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(conditions))
    return " AND ".join(f"({x})" for x in distinct) if len(distinct) > 1 else distinct[0]


def source_table(manifest: Manifest, source: SourceSpec) -> str:
    """Return the table that is read for a source."""
    # A source that is another view is read from the history of a fixed version: its public view may
    # show another version by the time of a run.
    view = manifest.read_view(source)
    if view is None:
        return source.table
    return qualified(
        dialect(manifest.dialect), manifest.schema, naming.history(view.name, view.fingerprint)
    )


def rows_sql(
    manifest: Manifest,
    view: ViewSpec,
    relations: Mapping[str, str] | None = None,
    literal: Callable[[str], str] = str,
) -> RowsSql:
    """Prepare the SQL of a view's rows.

    Args:
        manifest: the declared project.
        view: one of its views.
        relations: the relations that replace tables: name -> SQL.
        literal: escapes users' text in a release, which a run renders a second time.
    """
    d = dialect(manifest.dialect)

    def tables(source: SourceSpec) -> tuple[str, str]:
        columns = "*"
        if manifest.read_view(source) is not None:
            columns = ", ".join(d.quote(name) for name, _ in source.columns)
        return (relations or {}).get(source.table, source_table(manifest, source)), columns

    return RowsSql(manifest, view, d, tables, literal)
