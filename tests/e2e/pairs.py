"""Random questions to the example: which view, whose values, at which instant.

The same seed asks the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.oracle import (
    CHANGES,
    DAY,
    ENTITY,
    HOUR,
    MINUTE,
    START,
    Oracle,
    Values,
    at,
    change_points,
)

COUNT = 1_000
NOW = at("2014-01-01T06:00:00")
# The weather's next hour would show a quarter of an hour after it ends.
COMPUTED_THROUGH = NOW + 15 * MINUTE
SEED = int(os.environ.get("PLANE_TEST_SEED", "2013"))


@dataclass(frozen=True)
class Pair:
    """One question: the values of `view` at the instant.

    `keys` are those of all entities, for a training set.
    """

    number: int
    view: str
    keys: Mapping[str, str | None]
    instant: int

    @property
    def key(self) -> str | None:
        """The key of the view that is asked for."""
        return self.keys[ENTITY[self.view]]


def ask(oracle: Oracle, seed: int = SEED, count: int = COUNT) -> list[Pair]:
    """Questions across all views, in a random order of time."""
    dice = random.Random(seed)
    events = {view: oracle.keys(view) for view in ENTITY}
    names = {
        "origin": sorted(events["airport_delays"]),
        "carrier": sorted(events["carrier_delays"]),
    }
    names["tailnum"] = sorted({*events["aircraft_last_flight"], *events["aircraft_registry"]})
    by_event = {
        view: [(key, event) for key, found in events[view].items() for event in found]
        for view in CHANGES
    }
    views = list(ENTITY)
    found = []
    for number in range(count):
        view = views[number % len(views)]
        keys: dict[str, str | None] = {name: stranger(dice, among) for name, among in names.items()}
        chance = dice.random()
        if chance < 0.04:
            # Of nobody, or of whom nobody knows.
            instant = dice.randrange(START - DAY, COMPUTED_THROUGH)
            keys[ENTITY[view]] = dice.choice([None, "", "N0TKNOWN", "jfk"])
        elif chance < 0.65:
            keys[ENTITY[view]], instant = near_a_change(
                dice, view, by_event.get(view, ()), events[view]
            )
        else:
            keys[ENTITY[view]] = (
                dice.choice(by_event[view])[0]
                if view in CHANGES
                else dice.choice(sorted(events[view]))
            )
            instant = dice.randrange(START - DAY, COMPUTED_THROUGH)
        found.append(Pair(number, view, keys, instant))
    return found


def stranger(dice: random.Random, among: Sequence[str]) -> str | None:
    """One of the keys; now and then one that is unknown, or none."""
    return dice.choice(among) if dice.random() < 0.9 else dice.choice([None, "N0TKNOWN"])


def near_a_change(
    dice: random.Random,
    view: str,
    events: Sequence[tuple[str, int]],
    own: Mapping[str, Sequence[int]],
) -> tuple[str, int]:
    """A key, and an instant within a microsecond of one at which its values change; now and then
    after its last event, whose expiry no other event hides."""
    while True:
        key, event = dice.choice(events) if events else (dice.choice(sorted(own)), START)
        moment = dice.choice(change_points(view, event)) if events else START
        if events and dice.random() < 0.15:
            moment = change_points(view, max(own[key]))[-1]
        if moment + 1 < COMPUTED_THROUGH:
            return key, moment + dice.choice((-1, 0, 1))


def is_near_a_change(events: Mapping[str, Mapping[str, Sequence[int]]], pair: Pair) -> bool:
    """Whether the instant is within a microsecond of a change of just these values."""
    if pair.view not in CHANGES:
        return pair.key in events[pair.view] and abs(pair.instant - START) <= 1
    own = events[pair.view].get(pair.key or "", ())
    reach = 8 * DAY + 2 * HOUR
    return any(
        abs(pair.instant - moment) <= 1
        for event in own
        if abs(pair.instant - event) <= reach
        for moment in change_points(pair.view, event)
    )


def says_something(values: Values) -> bool:
    """Whether any feature is neither null nor a count of 0."""
    return any(value not in {None, 0} for value in values.values())


def differs_around(oracle: Oracle, pair: Pair) -> bool:
    """Whether the values differ within a microsecond of the instant: a wrong edge would show
    here."""
    around = [oracle.values(pair.view, pair.key, pair.instant + step) for step in (-1, 0, 1)]
    return around[0] != around[1] or around[1] != around[2]


def spine(
    pairs: Sequence[Pair], dice: random.Random
) -> Iterator[tuple[int, str | None, str | None, str | None, int, str]]:
    """The questions as rows of a spine, some of them twice, in no order: number, keys, instant, and
    a remark."""
    rows = [*pairs, *dice.sample(pairs, 60)]
    dice.shuffle(rows)
    for place, pair in enumerate(rows):
        yield (
            pair.number,
            pair.keys["origin"],
            pair.keys["carrier"],
            pair.keys["tailnum"],
            pair.instant,
            f"row {place} of 'the spine'",
        )
