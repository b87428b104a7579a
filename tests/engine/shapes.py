"""Kinds of SQL that a view may have over the table of events: each as text, and by brute force in
plain Python.

A function in Python says what a query returns for the rows that it sees. `Form.returned` calls it
once for every interval of the view's grid, as if that interval were the only one, and shares no
code with the product: what it gives are the oracle's rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.verify.oracle import Row, View

MINUTE = 60 * 1_000_000
SHIFT = 7 * MINUTE
"""How far the time expression is behind the column."""
LOW, HIGH = -30 * MINUTE, 10 * MINUTE
"""The bounds of event time minus source time."""
LATEST = {1: LOW, 2: HIGH, 3: LOW - MINUTE, None: HIGH + MINUTE}
"""Event time minus source time by `tie`: at the bounds, and beyond them."""
DEEPEST = 40
"""A view of which each interval is evaluated by itself reads back over at most this many of them:
a warehouse that evaluates each in a statement of its own takes a second or more for each."""
Made = list[dict[str, Any]]


@dataclass(frozen=True)
class Shape:
    """A kind of SQL.

    Attributes:
        name: as the coverage calls it.
        sql: the query; `{events}` and `{others}` are two sources over the same table.
        rows: what the query returns for the rows that these two show.
        by_interval: whether its result for a range is not that of the range's intervals together.
        shift: how far the sources' time expression is behind the column `ts`; 0: it is the column.
        bounded: whether the event time is another column, within `LOW` and `HIGH`.
    """

    name: str
    sql: str
    rows: Callable[[Sequence[Row], Sequence[Row]], Made]
    by_interval: bool = True
    shift: int = 0
    bounded: bool = False

    @property
    def sources(self) -> list[str]:
        """The names of the sources that it reads."""
        return [name for name in ("events", "others") if f"{{{name}}}" in self.sql]

    @property
    def source_time(self) -> str:
        """The column in which its SQL sees a source's time."""
        return "source_time" if self.shift else "ts"

    @property
    def event_time(self) -> str:
        """The column of the event time in its result."""
        return "happened" if self.bounded else self.source_time

    @property
    def low(self) -> int:
        """The least event time minus source time."""
        return LOW if self.bounded else 0

    @property
    def high(self) -> int:
        """The greatest event time minus source time."""
        return HIGH if self.bounded else 0

    def placed(self, row: dict[str, Any]) -> dict[str, Any]:
        """A raw row whose event time is what `ts` was, so that event times meet the edges of
        intervals."""
        if row["ts"] is None:
            return row
        return row | {"ts": row["ts"] + self.shift - (LATEST[row["tie"]] if self.bounded else 0)}


def _plain(events: Sequence[Row], _: Sequence[Row]) -> Made:
    return [dict(row) for row in events]


def _earlier(time: str) -> Callable[[Row, Row], bool]:
    """Whether the second row is an earlier one of the same tie."""
    return lambda row, other: (
        row["tie"] is not None and other["tie"] == row["tie"] and other[time] < row[time]
    )


def _joined(time: str) -> Callable[[Sequence[Row], Sequence[Row]], Made]:
    earlier = _earlier(time)

    def rows(events: Sequence[Row], others: Sequence[Row]) -> Made:
        found: Made = []
        for row in events:
            partners = [other for other in others if other["b"] and earlier(row, other)]
            found += [{**row, "i": other["i"], "s": other["s"]} for other in partners]
            if not partners:
                found.append({**row, "i": None, "s": None})
        return found

    return rows


def _existing(events: Sequence[Row], others: Sequence[Row]) -> Made:
    earlier = _earlier("ts")
    return [dict(row) for row in events if any(earlier(row, other) for other in others)]


def _running(_: Sequence[Row], others: Sequence[Row]) -> Made:
    found: Made = []
    for row in others:
        frame = [one["i"] for one in others if one["tie"] == row["tie"] and one["ts"] <= row["ts"]]
        found.append(
            {**row, "i": min((value for value in frame if value is not None), default=None)}
        )
    return found


def _newest(most: int) -> Callable[[Sequence[Row], Sequence[Row]], Made]:
    return lambda events, _: [
        dict(row) for row in events if sum(one["ts"] > row["ts"] for one in events) < most
    ]


def _different(rows: Sequence[Row]) -> Made:
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        values = (
            "NaN" if isinstance(value, float) and math.isnan(value) else value
            for value in row.values()
        )
        found.setdefault(tuple(values), row)
    return [dict(row) for row in found.values()]


def _chosen(events: Sequence[Row], others: Sequence[Row]) -> Made:
    first = [dict(row) for row in events if row["tie"] is not None and row["tie"] != 2]
    return first + [dict(row) for row in others if row["i"] is not None and row["i"] > 0]


def _happened(
    rows: Callable[[Sequence[Row], Sequence[Row]], Made],
) -> Callable[[Sequence[Row], Sequence[Row]], Made]:
    """The same rows with an event time of their own."""
    return lambda events, others: [
        {**row, "happened": row["ts"] + LATEST[row["tie"]]} for row in rows(events, others)
    ]


_NAMES = ("k", "n", "ts", "tie", "i", "f", "d", "s", "b", "y", "x", "u")
_JOINED = ", ".join(f"{'o' if name in {'i', 's'} else 'e'}.{name} AS {name}" for name in _NAMES)
_RUNNING = ", ".join(f"o.{name} AS {name}" for name in _NAMES if name != "i")
_JOIN = (
    "FROM {{events}} AS e LEFT JOIN {{others}} AS o ON e.tie = o.tie AND o.{time} < e.{time}"
    " AND o.b"
)
_EXISTS = "EXISTS (SELECT 1 FROM {others} AS o WHERE o.tie = e.tie AND o.ts < e.ts)"
_RANKED = (
    "(SELECT *, rank() OVER (ORDER BY ts DESC) AS place FROM {{events}}) AS e WHERE place <= {most}"
)
_HAPPENED = (
    "CASE WHEN e.tie = 1 THEN e.ts - INTERVAL '30 minutes' WHEN e.tie = 2 THEN e.ts + INTERVAL '10"
    " minutes' WHEN e.tie = 3 THEN e.ts - INTERVAL '31 minutes' ELSE e.ts + INTERVAL '11 minutes'"
    " END AS happened"
)
_THIRD = "(SELECT min(newest.ts) FROM (SELECT ts FROM {events} ORDER BY ts DESC LIMIT 3) AS newest)"

PLAIN = Shape("plain", "SELECT * FROM {events}", _plain, by_interval=False)
SHAPES = (
    PLAIN,
    Shape("join", f"SELECT {_JOINED} {_JOIN.format(time='ts')}", _joined("ts")),
    Shape(
        "join, time expression",
        f"SELECT {_JOINED}, e.source_time AS source_time {_JOIN.format(time='source_time')}",
        _joined("source_time"),
        shift=SHIFT,
    ),
    Shape("EXISTS", f"SELECT * FROM {{events}} AS e WHERE {_EXISTS}", _existing),
    Shape(
        "window function",
        f"SELECT {_RUNNING}, min(o.i) OVER (PARTITION BY o.tie ORDER BY o.ts) AS i FROM {{others}}"
        " AS o",
        _running,
    ),
    Shape("rank", f"SELECT * FROM {_RANKED.format(most=3)}", _newest(3)),
    Shape("DISTINCT", "SELECT DISTINCT * FROM {events}", lambda events, _: _different(events)),
    # Rows of equal time are all kept: which of them come first is not decided.
    Shape("LIMIT", f"SELECT * FROM {{events}} WHERE ts >= {_THIRD}", _newest(3)),
    Shape(
        "UNION ALL",
        "SELECT * FROM {events} WHERE tie <> 2 UNION ALL SELECT * FROM {others} WHERE i > 0",
        _chosen,
        by_interval=False,
    ),
    Shape(
        "UNION",
        "SELECT * FROM {events} WHERE tie <> 2 UNION SELECT * FROM {others} WHERE i > 0",
        lambda events, others: _different(_chosen(events, others)),
    ),
    Shape("time expression", "SELECT * FROM {events}", _plain, by_interval=False, shift=SHIFT),
    Shape(
        "bounds",
        f"SELECT e.*, {_HAPPENED} FROM {{events}} AS e",
        _happened(_plain),
        by_interval=False,
        bounded=True,
    ),
    Shape(
        "rank, bounds",  # of the rows that an interval sees, many happened in the next one
        f"SELECT e.*, {_HAPPENED} FROM {_RANKED.format(most=9)}",
        _happened(_newest(9)),
        bounded=True,
    ),
    Shape(
        "EXISTS, bounds",
        f"SELECT e.*, {_HAPPENED} FROM {{events}} AS e WHERE {_EXISTS}",
        _happened(_existing),
        bounded=True,
    ),
)


@dataclass(frozen=True)
class Form:
    """What is drawn of a view's SQL beside its features.

    Attributes:
        shape: the kind of SQL.
        lookback: of the source `others`; None: unbounded.
        apart: whether each interval gets a statement of its own also where one could do for many.
    """

    shape: Shape = PLAIN
    lookback: int | None = 0
    apart: bool = False

    @property
    def reach(self) -> str:
        """How far it looks back, in a word; empty if it could not."""
        if "others" not in self.shape.sources:
            return ""
        return "unbounded" if self.lookback is None else "some" if self.lookback else "none"

    def returned(self, rows: Sequence[Mapping[str, Any]], view: View) -> list[dict[str, Any]]:
        """What the SQL returns of some raw rows, interval by interval, and the view keeps."""
        shape, length = self.shape, view.schedule
        if shape is PLAIN:
            return [dict(row) for row in rows]
        seen = [
            {**row, shape.source_time: row["ts"] - shape.shift}
            for row in rows
            if row["ts"] is not None
        ]
        found: list[dict[str, Any]] = []
        for start in sorted(
            {at for row in seen for at in self._intervals(row[shape.source_time], view)}
        ):
            end, first = start + length, start - shape.high
            until = end - shape.low
            others = [
                row
                for row in seen
                if row[shape.source_time] < until
                and (self.lookback is None or row[shape.source_time] >= first - self.lookback)
            ]
            events = [row for row in others if row[shape.source_time] >= first]
            for row in shape.rows(events, others):
                at = row[shape.event_time]
                if start <= at < end and shape.low <= at - row[shape.source_time] <= shape.high:
                    found.append(row)
        return found

    def _intervals(self, at: int, view: View) -> Iterator[int]:
        """Where the intervals begin that may keep a row of this source time."""
        first = (at + self.shape.low - view.phase) // view.schedule * view.schedule + view.phase
        yield from range(first, at + self.shape.high + 1, view.schedule)

    def touched(self, ts: int, view: View, intervals: int) -> range:
        """The numbers of the intervals whose values a raw row at `ts` may change.

        What lies before the view's start is read by the first interval, what lies after its end by
        none.
        """
        at = ts - self.shape.shift - view.start
        first = (at + self.shape.low) // view.schedule
        last = (at + self.shape.high + (self.lookback or 0)) // view.schedule
        if self.lookback is None:
            last = max(last, intervals - 1)
        return range(max(first, 0), min(max(last, 0), intervals - 1) + 1)


def form_of(number: int, schedule: int, deep: bool) -> Form:
    """The form of a case, drawn beside everything else: about half of the cases are plain.

    Args:
        number: of the case.
        schedule: of its view.
        deep: whether the view reads back over more than `DEEPEST` intervals.
    """
    choice = random.Random(f"shape {number}")
    if choice.random() < 0.45:
        return Form()
    shape = choice.choice([shape for shape in SHAPES if not (deep and shape.by_interval)])
    lookbacks = (0, schedule, 2 * schedule, schedule // 2, 3 * schedule + MINUTE, None)
    lookback = choice.choices(lookbacks, (3, 2, 2, 1, 1, 1))[0]
    apart = choice.random() < 0.25
    return Form(shape, lookback if "others" in shape.sources else 0, apart and shape.by_interval)
