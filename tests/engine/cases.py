"""Random definitions with random data: each as the product's own definition and, by hand, as the
oracle's."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

from hypothesis import strategies as st

from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Calendar,
    Entity,
    Series,
    batch_feature_view,
)
from controlplane.definitions.views import Transformation
from controlplane.verify.oracle import Periods, Predicate, Row, RowFeature, View, WindowFeature
from tests.engine.grids import DAY, GRIDS, MINUTE, ORIGINS, SECOND, ZONES, shortest, text
from tests.engine.rig import micros, naive
from tests.engine.shapes import DEEPEST, PLAIN, Form, Shape, form_of

COLUMNS = {
    "k": "VARCHAR",
    "n": "BIGINT",
    "ts": "TIMESTAMP",
    "tie": "INTEGER",
    "i": "BIGINT",
    "f": "DOUBLE",
    "d": "DECIMAL(12,2)",
    "s": "VARCHAR",
    "b": "BOOLEAN",
    "y": "DATE",
    "x": "BLOB",
    "u": "TIMESTAMP",
}
KEY_TYPES = {"k": "string", "n": "int64"}
TYPES = {
    "i": "int64",
    "f": "float64",
    "d": "decimal(12,2)",
    "s": "string",
    "b": "bool",
    "y": "date",
    "x": "binary",
    "u": "timestamp",
}
NUMBERS = ("i", "f", "d")
ORDERED = (*NUMBERS, "s", "y", "u")
FUNCTIONS: dict[str, Sequence[str | None]] = {
    "count": (None, *TYPES),
    "min": ORDERED,
    "max": ORDERED,
    **dict.fromkeys(("sum", "mean", "var_samp", "var_pop", "stddev_samp", "stddev_pop"), NUMBERS),
    **dict.fromkeys(("percentile", "approx_percentile"), NUMBERS),
    **dict.fromkeys(
        ("first", "last", "first_n", "last_n", "first_distinct_n", "last_distinct_n"), tuple(TYPES)
    ),
    "count_distinct": tuple(TYPES),
    "approx_count_distinct": tuple(name for name in TYPES if name not in ("f", "x")),
}
VALUES: dict[str, Sequence[Any]] = {
    "k": ("a", "a", "a", "it's", ""),
    "n": (0, 0, 2**53 + 1),
    "tie": (1, 2, 3),
    "i": (0, 1, 2, -3, 2**53 + 1, 7),
    "f": (0.5, 1.5, -2.25, 1e12, 0.03, -0.0, 0.0, math.nan, math.inf, -math.inf),
    "d": (Decimal("0.10"), Decimal("-7.25"), Decimal("9999999999.99"), Decimal("3.00")),
    "s": ("", "a", "B", "é", "\uffff", "😀"),
    "b": (True, False),
    "y": (date(1969, 12, 31), date(2024, 2, 29)),
    "x": (b"", b"\x00\xff", b"a"),
    "u": (
        micros("1969-12-31T23:59:59.999999"),
        micros("2024-01-01"),
        micros("2024-01-01T00:00:00.000001"),
    ),
}
CONDITIONS: Sequence[tuple[str, Predicate]] = (
    ("i > 0", lambda row: None if row["i"] is None else row["i"] > 0),
    ("b -- only those", lambda row: row["b"]),
    ("s IS NULL", lambda row: row["s"] is None),
    ("f < 1.5", lambda row: None if row["f"] is None else row["f"] < 1.5),
    ("tie <> 2", lambda row: None if row["tie"] is None else row["tie"] != 2),
)


@dataclass(frozen=True)
class Case:
    """One view, written twice, its raw rows, the number of intervals that are computed, and what
    its SQL is like."""

    definition: BatchFeatureView
    view: View
    rows: list[dict[str, Any]]
    intervals: int
    form: Form = field(default_factory=Form)

    @property
    def end(self) -> int:
        """Where the last interval ends."""
        return self.view.start + self.intervals * self.view.schedule

    @cached_property
    def returned(self) -> list[dict[str, Any]]:
        """The oracle's rows: what the view's SQL returns of the raw ones."""
        return self.form.returned(self.rows, self.view)

    def touched(self, row: Row) -> range:
        """The numbers of the intervals whose values a raw row may change."""
        if self.view.time is None:
            return range(self.intervals)
        if row["ts"] is None:
            return range(0)
        return self.form.touched(row["ts"], self.view, self.intervals)


def loaded(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The oracle's rows as the driver takes them."""
    times = ("ts", "u")
    return [
        row | {name: None if row[name] is None else naive(row[name]) for name in times}
        for row in map(dict, rows)
    ]


def features(
    choice: random.Random, kind: str, tile: int, schedule: int
) -> tuple[list[Attribute | Aggregate], list[RowFeature | WindowFeature]]:
    """Some features, in the product's words and in the oracle's.

    A feature is named like its column where it can.
    """
    declared: list[Attribute | Aggregate] = []
    by_hand: list[RowFeature | WindowFeature] = []
    if kind != "windows":
        for attribute in choice.sample(list(TYPES), choice.randint(1, 3)):
            declared.append(Attribute(attribute, TYPES[attribute]))
            by_hand.append(RowFeature(attribute))
    for number in range(choice.randint(1, 3) if kind != "rows" else 0):
        aggregate, windows = window_feature(choice, f"w{number}", tile, schedule)
        declared.append(aggregate)
        by_hand += windows
    return declared, by_hand


def window_feature(
    choice: random.Random, name: str, tile: int, schedule: int
) -> tuple[Aggregate, list[RowFeature | WindowFeature]]:
    """An aggregate with one window of any kind; with a second key it is two features."""
    function = choice.choice(list(FUNCTIONS))
    column = choice.choice(FUNCTIONS[function])
    n = choice.randint(1, 4) if function.endswith("_n") else None
    q = choice.choice([0, 0.25, 0.5, 0.9, 0.95, 1]) if function.endswith("percentile") else None
    where, predicate = choice.choice([None] * 2 * len(CONDITIONS) + list(CONDITIONS)) or (
        None,
        None,
    )
    multiples = [
        schedule,
        tile,
        7 * tile,
        21 * tile,
        2 * schedule,
        3 * schedule,
        schedule + tile,
        5 * schedule,
    ]
    length = choice.choice(multiples)
    offset = choice.choice([0, 0, 0, 0, -tile, -schedule])
    window: str | Series | Calendar = text(length)
    label = text(length)
    rest: dict[str, Any] = {"window": length}
    kind = choice.choice(["sliding"] * 5 + ["lifetime", "series", "calendar", "calendar"])
    zones = [zone for zone, finest in ZONES.items() if finest % tile == 0]
    if kind == "series" and not function.endswith("_n"):
        steps, step = choice.randint(2, 4), choice.choice([length, tile, 2 * tile])
        window = Series(text(length), steps, text(step))
        label += f"_x{steps}" + (f"_every_{text(step)}" if step != length else "")
        rest |= {"steps": steps, "step": step}
    elif kind == "calendar" and zones:
        unit, ago = choice.choice(["day", "day", "week", "month"]), choice.choice([0, 0, 1, 2])
        count, zone = choice.randint(1, 3) if ago else 1, choice.choice(zones)
        window, offset = Calendar(unit, zone, count, ago), 0
        label = (f"{count}{unit}" if count > 1 else unit) + (f"_ago_{ago}" if ago else "")
        rest = {"window": None, "periods": Periods(unit, zone, count, ago)}
    elif kind == "lifetime":
        window, label, rest = "lifetime", "lifetime", {"window": None}
    by = choice.choice([None] * 5 + ["s", "i", "b", "y"]) if "steps" not in rest else None
    aggregate = Aggregate(
        function,
        column,
        windows=[window],
        offset=text(offset),
        where=where,
        name=name,
        n=n,
        q=q,
        by=by,
    )
    full = (
        name
        + (f"_by_{by}_" if by else "_")
        + label
        + (f"_offset_{shortest(-offset)}" if offset else "")
    )
    by_hand = WindowFeature(
        full, function, column, offset=offset, where=predicate, n=n or 0, q=q or 0.0, by=by, **rest
    )
    return aggregate, [
        by_hand,
        *([replace(by_hand, name=f"{full}_keys", lists_keys=True)] if by else []),
    ]


def transformation_of(shape: Shape) -> Transformation:
    """The function of a view called `subject`, whose parameters are the sources that a kind of SQL
    reads."""

    def subject(**relations: str) -> str:
        return shape.sql.format(**relations)

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in shape.sources]
    subject.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return subject


def sources_of(form: Form, static: bool, delay: int) -> list[BatchSource]:
    """The sources that a view reads, all over one table."""
    time = f"ts - INTERVAL '{form.shape.shift // MINUTE} minutes'" if form.shape.shift else "ts"
    lookbacks = {
        "events": "0s",
        "others": "unbounded" if form.lookback is None else text(form.lookback),
    }
    return [
        BatchSource(
            name,
            table="raw.events",
            timestamp=None if static else time,
            prune_by="ts" if form.shape.shift else None,
            settling_delay=text(delay),
            lookback=lookbacks[name],
        )
        for name in form.shape.sources
    ]


def definition_of(
    choice: random.Random, number: int, shaped: bool = True
) -> tuple[BatchFeatureView, View, Form]:
    """A view, written twice; its SQL is not that of a plain one only if it is to be `shaped`."""
    schedule, tiles = choice.choice(GRIDS)
    tile = choice.choice(tiles)
    static = choice.randint(0, 9) == 0
    kind = "rows" if static else choice.choice(["rows", "windows", "windows", "both"])
    declared, by_hand = features(choice, kind, tile, schedule)
    keys = choice.choice([["k"], ["n"], ["k"], ["n", "k"]])
    delay = 0 if static else choice.choice([0, 0, 1, 30 * MINUTE, schedule, schedule + 7])
    ttl = choice.choice([None, schedule, 2 * schedule]) if kind == "rows" else None
    tie_breaker = choice.choice([[], ["tie"]])
    phase = choice.choice(
        [0, 0, 0, tile if tile < schedule else 0, schedule // 5 // SECOND * SECOND]
    )
    if any(isinstance(f, WindowFeature) and f.periods is not None for f in by_hand):
        phase = 0
    start = choice.choice(ORIGINS) + choice.randint(0, 3) * schedule + phase
    view = View(keys, "ts", by_hand, schedule, start, delay, ttl, tie_breaker, phase)
    form = Form()
    if shaped and not static:
        form = form_of(number, schedule, depth(view) > DEEPEST * schedule)
        view = replace(view, time=form.shape.event_time, delay=max(delay, -form.shape.low))
    elif static:
        view = replace(view, time=None)
    bounds = (text(form.shape.low), text(form.shape.high)) if form.shape.bounded else None
    declare = batch_feature_view(
        entities=[Entity("thing", keys={key: KEY_TYPES[key] for key in keys}, owner="team")],
        sources=sources_of(form, static, view.delay),
        features=declared,
        schedule=text(schedule),
        start=naive(start).isoformat(),
        ttl=None if ttl is None else text(ttl),
        aggregation_interval=text(tile),
        phase=text(phase),
        tie_breaker=tie_breaker,
        timestamp=None if static else form.shape.event_time,
        event_time_bounds=bounds,
        owner="team",
    )
    return declare(transformation_of(form.shape)), view, form


def depth(view: View) -> int:
    """How far before the end of its first interval a view reads."""
    longest = {"day": 2 * DAY, "week": 8 * DAY, "month": 32 * DAY}
    found = [0]
    for feature in view.features:
        if isinstance(feature, WindowFeature):
            length = (feature.window or 0) + max(feature.steps - 1, 0) * feature.step
            if feature.periods is not None:
                length = (feature.periods.count + feature.periods.ago) * longest[
                    feature.periods.unit
                ]
            found.append(length - feature.offset)
    return max(found)


def event_time(choice: random.Random, view: View, intervals: int) -> int:
    """An event time that decides something, or any: on the grid, beside it, before the start, after
    the end."""
    longest = depth(view)
    step = choice.choice([view.schedule, MINUTE, view.schedule // 5])
    first, last = -(longest + view.schedule) // step, (intervals + 1) * view.schedule // step
    steps = (
        choice.randint(first, last)
        if choice.random() < 0.3
        else choice.randint(0, max(last * 2 // 3, 1))
    )
    return view.start + steps * step + choice.choice([0, 0, -1, 1])


def row_of(
    seed: int, number: int, view: View, intervals: int, shape: Shape = PLAIN
) -> dict[str, Any]:
    """A raw row: few keys, so that they meet.

    Equal times, and nulls everywhere, keys and times included.
    """
    choice = random.Random(f"{seed} {number}")
    moments = [event_time(random.Random(seed + n), view, intervals) for n in range(3)]
    row = {name: choice.choice(pool) for name, pool in VALUES.items()}
    row["ts"] = (
        choice.choice(moments) if choice.random() < 0.3 else event_time(choice, view, intervals)
    )
    if choice.random() < 0.9:
        row["f"] = choice.choice([0.5, 1.5, -2.25, 0.03, 1e12])
    if choice.random() < 0.4:
        row[choice.choice(list(COLUMNS))] = None
    return shape.placed(row)


def case_of(number: int, share: float, sizes: Sequence[int], shaped: bool = True) -> Case:
    """The case of a number: a view, and rows for it, duplicates among them.

    `share` of the rows are left.

    Its SQL is not that of a plain view only if it is to be `shaped`.
    """
    choice = random.Random(number)
    definition, view, form = definition_of(choice, number, shaped)
    intervals, count = choice.choice(sizes), choice.choice([5, 30, 60, 90, 120, 120])
    rows = [
        row_of(number, one, view, intervals, form.shape)
        for one in range(count)
        if choice.random() <= share
    ]
    return Case(definition, view, rows + rows[: len(rows) // 10], intervals, form)


def cases(*sizes: int) -> st.SearchStrategy[Case]:
    """Cases with one of these numbers of intervals.

    They are made from a number, since a search that prefers small values meets the same few
    definitions again and again; what fails is reduced to fewer rows.
    """
    shares = st.sampled_from([0.03, 0.2, *[1.0] * 18])
    return st.builds(case_of, st.integers(0, 2**63), shares, st.just(sizes))


def scale(
    view: View, rows: Sequence[Mapping[str, Any]], feature: RowFeature | WindowFeature
) -> float:
    """The sum of the absolute finite values of a feature's column: what the sums of floats are
    right to."""
    if isinstance(feature, RowFeature) or feature.column != "f":
        return 0.0
    values = [row["f"] for row in rows if row["f"] is not None]
    return math.fsum(abs(value) for value in values if math.isfinite(value))
