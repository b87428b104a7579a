"""Chooses the entities and instants to compare.

Half of the instants lie within a microsecond of a change, where an error of one row shows. The
other half lie anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from controlplane.base.ports import Warehouse
from controlplane.sql.dialects import Dialect
from controlplane.verify.expected import NUMBER, RAW, TIME, Expected, Key, Sample
from controlplane.verify.oracle import RowFeature, View, WindowFeature

PER_KEY = 8
"""Instants to compare for one entity, if there are enough entities."""
MOST_ROWS = 100_000
"""The raw rows that brute force reads of one entity; an entity with more is left out."""
_DAY = 86_400_000_000
# Periods differ in length: the longest one, and a day more for zones and for daylight saving time.
_LONGEST = {"day": 2 * _DAY, "week": 8 * _DAY, "month": 32 * _DAY}


def entities(
    expected: Expected, warehouse: Warehouse, d: Dialect, history: str, count: int, seed: int
) -> list[Key]:
    """Choose entities: two thirds from the raw rows, the others from the history.

    The history may hold an entity whose raw rows have been deleted.
    """
    names = [name for name, _ in expected.spec.keys]
    entities: dict[Key, None] = {}
    # A hash of its own for each table: else the history would repeat the entities of the raw rows.
    for salt, (ctes, table, columns, share) in enumerate(
        (
            (f"{expected.raw()}\n", RAW, expected.keys, count - count // 3),
            ("", history, names, count),
        )
    ):
        quoted = ", ".join(map(d.quote, columns))
        position = shuffled(d, f"{seed} {salt}", columns)
        query = (
            f"{ctes}SELECT DISTINCT {quoted}, {position} AS place FROM {table} ORDER BY place LIMIT"
            f" {share}"
        )
        for row in expected.fetched(warehouse, query):
            if len(entities) < count:
                entities[tuple(row[name] for name in columns)] = None
    return list(entities)


def shuffled(d: Dialect, salt: str, columns: Sequence[str]) -> str:
    """Return an SQL expression that orders rows at random, but always the same for one salt.

    Warehouses' own random functions take no seed, or give other numbers for the same one.
    """
    parts = [d.text(salt), *(d.cast(d.quote(name), "string") for name in columns)]
    return d.hash64(" || '|' || ".join(parts), "string")


def event_times(
    expected: Expected, warehouse: Warehouse, d: Dialect, keys: Sequence[Key], count: int, seed: int
) -> dict[Key, list[int]]:
    """Return the event times of at most `count` raw rows of each entity."""
    if expected.spec.timestamp is None:
        return {key: [expected.oracle.start] for key in keys}
    numbered = {number: Sample(key, 0, None) for number, key in enumerate(keys)}
    same = " AND ".join(f"r.{d.quote(name)} = s.{d.quote(name)}" for name in expected.keys)
    number, time = d.quote(NUMBER), d.quote(TIME)
    query = (
        f"{expected.raw()},\nplane_spine AS (\n{expected.spine(numbered, expected.keys)}\n),\n"
        f"plane_placed AS (\nSELECT s.{number}, r.{time}, row_number() OVER ("
        f"PARTITION BY s.{number} ORDER BY {shuffled(d, str(seed), [TIME])}, r.{time}) AS place\n"
        f"FROM {RAW} AS r JOIN plane_spine AS s ON {same}\n)\n"
        f"SELECT {number}, {time} FROM plane_placed WHERE place <= {count} ORDER BY {number}, place"
    )
    times: dict[Key, list[int]] = {key: [] for key in keys}
    for row in expected.fetched(warehouse, query):
        times[keys[row[NUMBER]]].append(row[TIME])
    return times


def oversized(
    expected: Expected, warehouse: Warehouse, d: Dialect, samples: Mapping[int, Sample]
) -> set[Key]:
    """Return the entities with a sample that needs more than `MOST_ROWS` raw rows."""
    tables, clause = expected.joined(samples)
    number = f"s.{d.quote(NUMBER)}"
    query = f"{tables}\nSELECT {number} {clause} GROUP BY {number} HAVING count(*) > {MOST_ROWS}"
    return {samples[row[NUMBER]].key for row in expected.fetched(warehouse, query)}


def instants(
    view: View, times: Sequence[int], count: int, first: int, last: int, choice: random.Random
) -> list[int]:
    """Choose the instants at which to compare an entity; see the module.

    Args:
        view: the oracle's definition.
        times: the entity's event times, in microseconds since the epoch.
        count: the number of instants.
        first: the earliest instant near no event.
        last: the latest instant to choose.
        choice: the source of random numbers.
    """
    points = sorted(
        {point for time in times for point in change_instants(view, time) if first <= point <= last}
    )
    chosen = []
    # Half of the chosen points move by a microsecond, which shows a bound that is wrong by one.
    for number in range(count):
        point = (
            choice.choice(points)
            if points and number % 2 == 0
            else choice.randint(min(first, last), last)
        )
        chosen.append(min(point + choice.choice((0, 0, -1, 1)), last))
    return chosen


def change_instants(view: View, time: int) -> Iterator[int]:
    """Yield the instants at which a row with this event time may change values.

    It becomes visible, enters windows, leaves them, and expires.
    """

    def seen(moment: int) -> int:
        # The first instant at which the interval that contains the moment is computed.
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
    """Return an instant before every row that may count at `at`, or None if any row may.

    It leaves room to spare: reading too many rows is correct, and reading too few is not.
    """
    farthest = 0
    for feature in view.features:
        length = longest(feature) if isinstance(feature, WindowFeature) else view.ttl
        if length is None:
            return None
        farthest = max(farthest, length)
    return at - farthest - 2 * view.schedule - view.delay - _DAY


def longest(feature: WindowFeature) -> int | None:
    """Return how far before an interval's end a window may begin; None for a lifetime window."""
    if feature.periods is not None:
        return (feature.periods.ago + feature.periods.count + 1) * _LONGEST[feature.periods.unit]
    if feature.window is None:
        return None
    return feature.window + max(feature.steps - 1, 0) * feature.step - feature.offset
