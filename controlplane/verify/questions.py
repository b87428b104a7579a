"""Which entities to ask about, and when: half of the instants within a microsecond of a change,
half anywhere."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from controlplane.base.ports import Warehouse
from controlplane.sql.dialects import Dialect
from controlplane.verify.oracle import RowFeature, View, WindowFeature
from controlplane.verify.truth import NUMBER, RAW, TIME, Key, Question, Truth

PER_KEY = 8
"""Instants asked about one entity, where there are enough entities."""
MOST_ROWS = 100_000
"""Raw rows of one entity that are looked at; entities for which more could count are left out."""
_DAY = 86_400_000_000
_LONGEST = {"day": 2 * _DAY, "week": 8 * _DAY, "month": 32 * _DAY}


def sample(
    truth: Truth, warehouse: Warehouse, d: Dialect, history: str, count: int, seed: int
) -> list[Key]:
    """Some entities: two thirds of those that the raw rows have, the rest of those that the history
    has."""
    names = [name for name, _ in truth.spec.keys]
    found: dict[Key, None] = {}
    for salt, (ctes, table, columns, share) in enumerate(
        (
            (f"{truth.raw()}\n", RAW, truth.keys, count - count // 3),
            ("", history, names, count),
        )
    ):
        quoted = ", ".join(map(d.quote, columns))
        place = hashed(d, f"{seed} {salt}", columns)
        query = (
            f"{ctes}SELECT DISTINCT {quoted}, {place} AS place FROM {table} ORDER BY place LIMIT"
            f" {share}"
        )
        for row in truth.fetched(warehouse, query):
            if len(found) < count:
                found[tuple(row[name] for name in columns)] = None
    return list(found)


def hashed(d: Dialect, salt: str, columns: Sequence[str]) -> str:
    """An expression by which rows come in an order that looks random, and is the same again."""
    parts = [d.text(salt), *(d.cast(d.quote(name), "string") for name in columns)]
    return d.hash64(" || '|' || ".join(parts), "string")


def events(
    truth: Truth, warehouse: Warehouse, d: Dialect, keys: Sequence[Key], count: int, seed: int
) -> dict[Key, list[int]]:
    """For each entity the times of so many of its raw rows."""
    if truth.spec.timestamp is None:
        return {key: [truth.view.start] for key in keys}
    numbered = {number: Question(key, 0, None) for number, key in enumerate(keys)}
    same = " AND ".join(f"r.{d.quote(name)} = s.{d.quote(name)}" for name in truth.keys)
    number, time = d.quote(NUMBER), d.quote(TIME)
    query = (
        f"{truth.raw()},\nplane_spine AS (\n{truth.spine(numbered, truth.keys)}\n),\n"
        f"plane_placed AS (\nSELECT s.{number}, r.{time}, row_number() OVER ("
        f"PARTITION BY s.{number} ORDER BY {hashed(d, str(seed), [TIME])}, r.{time}) AS place\n"
        f"FROM {RAW} AS r JOIN plane_spine AS s ON {same}\n)\n"
        f"SELECT {number}, {time} FROM plane_placed WHERE place <= {count} ORDER BY {number}, place"
    )
    found: dict[Key, list[int]] = {key: [] for key in keys}
    for row in truth.fetched(warehouse, query):
        found[keys[row[NUMBER]]].append(row[TIME])
    return found


def too_many(
    truth: Truth, warehouse: Warehouse, d: Dialect, questions: Mapping[int, Question]
) -> set[Key]:
    """The entities for whose questions more rows than `MOST_ROWS` would have to be looked at."""
    tables, clause = truth.joined(questions)
    number = f"s.{d.quote(NUMBER)}"
    query = f"{tables}\nSELECT {number} {clause} GROUP BY {number} HAVING count(*) > {MOST_ROWS}"
    return {questions[row[NUMBER]].key for row in truth.fetched(warehouse, query)}


def instants(
    view: View, times: Sequence[int], count: int, first: int, last: int, choice: random.Random
) -> list[int]:
    """When to ask about an entity that has rows at these times: see the module.

    Args:
        view: as the oracle has it.
        times: event times, in microseconds since the epoch.
        count: how many instants.
        first: where they begin.
        last: the last one that may be asked about.
        choice: chooses.
    """
    points = sorted(
        {point for time in times for point in changes(view, time) if first <= point <= last}
    )
    found = []
    for number in range(count):
        point = (
            choice.choice(points)
            if points and number % 2 == 0
            else choice.randint(min(first, last), last)
        )
        found.append(min(point + choice.choice((0, 0, -1, 1)), last))
    return found


def changes(view: View, time: int) -> Iterator[int]:
    """When a row with this event time may change values: it becomes visible, enters windows, leaves
    them, expires."""

    def seen(moment: int) -> int:
        # The first instant at which an interval that holds the moment is computed.
        return (
            (moment - view.phase) // view.schedule * view.schedule
            + view.phase
            + view.schedule
            + view.delay
        )

    for feature in view.features:
        if view.time is None:
            yield view.start
        elif isinstance(feature, RowFeature):
            yield seen(time)
            if view.ttl is not None:
                yield seen(time) + view.ttl
        else:
            for back in range(max(feature.steps, 1)):
                entered = time - feature.offset + back * feature.step
                yield seen(entered)
                if feature.window is not None:
                    yield seen(entered + feature.window)
            if feature.periods is not None:
                yield seen(
                    time
                    + (feature.periods.ago + feature.periods.count) * _LONGEST[feature.periods.unit]
                )


def since(view: View, at: int) -> int | None:
    """Before every row that may count at an instant, with room to spare; None where any may."""
    farthest = 0
    for feature in view.features:
        length = longest(feature) if isinstance(feature, WindowFeature) else view.ttl
        if length is None:
            return None
        farthest = max(farthest, length)
    return at - farthest - 2 * view.schedule - view.delay - _DAY


def longest(feature: WindowFeature) -> int | None:
    """How far before the end of an interval a window may begin, at most; None for a lifetime."""
    if feature.periods is not None:
        return (feature.periods.ago + feature.periods.count + 1) * _LONGEST[feature.periods.unit]
    if feature.window is None:
        return None
    return feature.window + max(feature.steps - 1, 0) * feature.step - feature.offset
