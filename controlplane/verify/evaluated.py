"""Queries for the rows that a view's SQL returns, evaluated as its runs do, and each interval
alone.

An interval's rows are a function of that interval alone. What a run may do in one statement is done
in one here: all rows of a view that is row by row, and many intervals together where the warehouse
can evaluate a query once for each. Elsewhere one statement holds a query for each interval, so it
holds the newest intervals only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controlplane.base.types import Interval, floor
from controlplane.compile import transformation
from controlplane.manifest.specs import Manifest, StaticViewSpec, ViewSpec
from controlplane.manifest.timing import read_start
from controlplane.sql.dialects import dialect
from controlplane.sql.rows import rows_sql

MOST_APART = 48
"""Intervals that one statement evaluates one by one: it holds the user's SQL once for each of them.

Two days of an hourly view. Planning such a statement takes seconds, and warehouses limit its
length (1 MB on Snowflake).
"""


class Evaluated:
    """What one view's SQL returns over all that is computed, as far as one statement can evaluate
    it.

    Args:
        manifest: what is deployed.
        view: one of its views.
        frontier: where what is computed ends.

    Attributes:
        start: rows from here on are evaluated.
        complete: whether these are all rows that can count.
        apart: whether each interval is a query of its own.
        reach: how long before an interval a row may lie that changes it, beyond those of the
            interval itself; None if there is no limit.
    """

    def __init__(self, manifest: Manifest, view: ViewSpec, frontier: datetime) -> None:
        self._view, self._frontier = view, frontier
        self._d = dialect(manifest.dialect)
        self._rows = rows_sql(manifest, view)
        self.apart = self._rows.apart and not isinstance(view, StaticViewSpec)
        earliest = read_start(view)
        self.start = earliest
        if self.apart:
            self.start = max(earliest, frontier - MOST_APART * view.schedule)
        self.complete = self.start == earliest
        self.reach = self._reach(manifest)

    def _reach(self, manifest: Manifest) -> timedelta | None:
        if not self._rows.by_interval:
            return timedelta(0)
        lookbacks = [
            source.lookback
            for source in map(manifest.source, self._view.sources)
            if source.timestamp
        ]
        longest = timedelta(0)
        for lookback in lookbacks:
            if lookback is None:
                return None
            longest = max(longest, lookback)
        bounds = self._view.bounds
        return longest + (bounds.high - bounds.low if bounds else timedelta(0))

    @property
    def _first(self) -> datetime:
        """Where the first interval begins that is evaluated; only a part of its rows may count."""
        return floor(self.start, self._view.schedule, self._view.phase)

    def all_rows(self, columns: str, time: str) -> str:
        """A query for all rows.

        Args:
            columns: a SELECT's list, over what the SQL returns.
            time: the event time's name in it; empty for a static view.
        """
        if isinstance(self._view, StaticViewSpec):
            return self._selected(self._rows.whole(), columns, "")
        d, start, end = self._d, self._d.instant(self.start), self._d.instant(self._frontier)
        if not self.apart:
            by_interval = self._rows.by_interval
            framed = (
                self._rows.each_of(d.instant(self._first), end)
                if by_interval
                else self._rows.whole()
            )
            rows = self._selected(framed, columns, "")
        else:
            rows = _union([self.alone(piece, columns) for piece in self._split()])
        # Also without the rows that no interval holds, such as those of infinite times.
        return f"SELECT * FROM (\n{rows}\n) AS plane_all WHERE {time} >= {start} AND {time} < {end}"

    def _split(self) -> list[Interval]:
        return list(Interval(self._first, self._frontier).split(self._view.schedule))

    def as_one(self, columns: str) -> str:
        """A query for all rows as if the intervals were one: not those that count, but alike in
        size."""
        whole = floor(read_start(self._view), self._view.schedule, self._view.phase)
        return self.alone(Interval(whole, self._frontier), columns)

    def alone(self, interval: Interval, columns: str) -> str:
        """A query for the rows of one interval, or of a range that is evaluated as one."""
        start, end = self._d.instant(interval.start), self._d.instant(interval.end)
        return self._selected(
            self._rows.transformation(start, end),
            columns,
            self._rows.kept(start, end, counted=False),
        )

    def at_once(self, columns: str) -> str:
        """A query for all rows as one run over the whole range has them."""
        start, end = self._d.instant(self._first), self._d.instant(self._frontier)
        if self._rows.by_interval:
            return self._selected(self._rows.each_of(start, end), columns, "")
        return self.alone(Interval(self._first, self._frontier), columns)

    @staticmethod
    def _selected(framed: str, columns: str, condition: str) -> str:
        where = f" WHERE {condition}" if condition else ""
        return f"{framed}\nSELECT {columns} FROM {transformation.OUTPUT}{where}"


def _union(queries: Sequence[str]) -> str:
    # In parentheses: each query has common tables of its own.
    parts = (f"SELECT * FROM (\n{query}\n) AS plane_part" for query in queries)
    return "\nUNION ALL\n".join(parts)
