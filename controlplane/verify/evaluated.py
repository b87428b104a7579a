"""Queries a view's rows as its runs do, and each interval alone.

An interval's rows are a function of that interval alone. One statement here evaluates what one
statement of a run may evaluate: all rows of a view that is row by row, or many intervals if the
warehouse can evaluate a query once for each. In other cases the statement has one query for each
interval, and only for the newest intervals.
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
"""Intervals in one statement that repeats the user's SQL for each: two days of an hourly view.

Planning such a statement takes seconds, and warehouses limit its length (1 MB on Snowflake).
"""


class Evaluated:
    """The rows that one view's SQL returns up to the watermark, if one statement can evaluate them.

    Args:
        manifest: the deployed manifest.
        view: one of its views.
        watermark: the end of the computed intervals.

    Attributes:
        start: the start of the rows that are evaluated.
        complete: whether these are all rows that can count.
        apart: whether each interval is a query of its own.
        reach: how long before an interval's start a row may lie that changes the interval; None if
            there is no limit.
    """

    def __init__(self, manifest: Manifest, view: ViewSpec, watermark: datetime) -> None:
        self._view, self._watermark = view, watermark
        self._d = dialect(manifest.dialect)
        self._rows = rows_sql(manifest, view)
        self.apart = self._rows.apart and not isinstance(view, StaticViewSpec)
        earliest = read_start(view)
        self.start = earliest
        if self.apart:
            self.start = max(earliest, watermark - MOST_APART * view.schedule)
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
        farthest = timedelta(0)
        for lookback in lookbacks:
            if lookback is None:
                return None
            farthest = max(farthest, lookback)
        bounds = self._view.bounds
        return farthest + (bounds.high - bounds.low if bounds else timedelta(0))

    @property
    def _first(self) -> datetime:
        """The start of the first evaluated interval, of which perhaps only a part counts."""
        return floor(self.start, self._view.schedule, self._view.phase)

    def all_rows(self, columns: str, time: str) -> str:
        """Return a query for all rows.

        Args:
            columns: a SELECT list over the columns that the SQL returns.
            time: the event time's name in that list; empty for a static view.
        """
        if isinstance(self._view, StaticViewSpec):
            return self._selected(self._rows.whole(), columns, "")
        d, start, end = self._d, self._d.instant(self.start), self._d.instant(self._watermark)
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
        # This also removes the rows that no interval contains, such as those with infinite times.
        return f"SELECT * FROM (\n{rows}\n) AS plane_all WHERE {time} >= {start} AND {time} < {end}"

    def _split(self) -> list[Interval]:
        return list(Interval(self._first, self._watermark).split(self._view.schedule))

    def as_one(self, columns: str) -> str:
        """Return a query that evaluates all intervals as one.

        Its rows may differ from those that count, but their values are similar in size.
        """
        whole = floor(read_start(self._view), self._view.schedule, self._view.phase)
        return self.alone(Interval(whole, self._watermark), columns)

    def alone(self, interval: Interval, columns: str) -> str:
        """Return a query for the rows of one interval, or of a range evaluated as one interval."""
        start, end = self._d.instant(interval.start), self._d.instant(interval.end)
        return self._selected(
            self._rows.transformation(start, end),
            columns,
            self._rows.kept(start, end, counted=False),
        )

    def at_once(self, columns: str) -> str:
        """Return a query for all rows, evaluated as one run over the whole range does."""
        start, end = self._d.instant(self._first), self._d.instant(self._watermark)
        if self._rows.by_interval:
            return self._selected(self._rows.each_of(start, end), columns, "")
        return self.alone(Interval(self._first, self._watermark), columns)

    @staticmethod
    def _selected(framed: str, columns: str, condition: str) -> str:
        where = f" WHERE {condition}" if condition else ""
        return f"{framed}\nSELECT {columns} FROM {transformation.OUTPUT}{where}"


def _union(queries: Sequence[str]) -> str:
    # In parentheses: each query has common table expressions of its own.
    parts = (f"SELECT * FROM (\n{query}\n) AS plane_part" for query in queries)
    return "\nUNION ALL\n".join(parts)
