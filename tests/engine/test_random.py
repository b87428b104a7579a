"""Random definitions over random data: every value that the tables show is the oracle's.

`CASES=2000 pytest tests/engine/test_random.py` looks longer.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from controlplane.errors import CheckFailed
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.oracle import Row, same
from tests.engine.rig import Reader, Rig

CASES = int(os.environ.get("CASES", "80"))
LOOK = settings(
    max_examples=CASES,
    phases=(Phase.generate,),
    derandomize="CASES" not in os.environ,  # the suite repeats itself, a longer search looks where it has not been
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def instants(case: Case, choice: random.Random) -> list[int]:
    """Where to look: at the points where values may change, and a microsecond beside; as many anywhere else."""
    view = case.view
    points = [view.start + n * view.schedule + view.delay for n in range(case.intervals + 1)]
    near = [point + beside for point in choice.sample(points, min(4, len(points))) for beside in (0, 1, -1)]
    # What is known ends where the first interval that is not computed would be seen.
    last = case.end + view.delay + view.schedule - 1
    anywhere = [choice.randrange(view.start, last + 1) for _ in near]
    return [*near, *anywhere, last, view.start - 1]


def row_key(case: Case, row: Row) -> tuple[Any, ...]:
    return tuple(row[k] for k in case.view.keys)


def keys_of(case: Case) -> list[tuple[Any, ...]]:
    """Every key of the data, those with a null in them included, and one that is not there."""
    keys = {row_key(case, row): None for row in case.rows}
    unknown = tuple({"k": "nobody", "n": -99}[k] for k in case.view.keys)
    return [*keys, unknown]


def compare(case: Case, rig: Rig, seed: int) -> Counter[str]:
    """Compare the user's table, the history and the newest rows with the oracle; count what was compared."""
    view, counts = case.view, Counter[str]()
    table, history = rig.table(), rig.table("history")
    readers = {
        "table": Reader(table, view.keys, "valid_to"),
        "history": Reader(history, view.keys, "expires_at"),
    }
    latest = [row for row in rig.table("latest") if not row["is_deleted"]]
    readers["latest"] = Reader(latest, view.keys, "expires_at")
    tolerance = {feature.name: cases.scale(view, case.rows, feature) for feature in view.features}
    newest = case.end + view.delay
    looks: list[tuple[str, tuple[Any, ...], int]] = []
    for key in keys_of(case):
        own = [("table", key, at) for at in instants(case, random.Random(seed))]
        own += [("history", key, at) for at in instants(case, random.Random(seed + 1))[:6]]
        own += [("latest", key, at) for at in (newest, newest + view.schedule - 1)]
        known = None not in key and any(row_key(case, row) == key for row in case.rows)
        looks += own if known else own[::7]
    trained = rig.training_set([(key, at) for _, key, at in looks])
    for (where, key, at), training in zip(looks, trained, strict=True):
        expected = view.value(case.rows, key, at)
        found = readers[where].at(key, at) or view.nothing()
        for name, value in expected.items():
            counts["null" if value is None else "value"] += 1
            for place, told in ((where, found[name]), ("training set", training[name])):
                assert same(told, value, tolerance[name]), (
                    f"{place}, key {key}, at {at - view.start} after the start: {name} is {told!r}, should be {value!r}"
                )
    assert len({tuple(row[k] for k in view.keys) for row in latest}) == len(latest)
    return counts


def test_tables_are_as_the_oracle_says() -> None:
    counts = Counter[str]()

    @LOOK
    @given(cases.cases(1, 2, 3, 4, 5, 6), st.integers(0, 2**32), st.sets(st.integers(1, 5)))
    def look(case: Case, seed: int, cuts: set[int]) -> None:
        with Rig(case.definition, cases.COLUMNS, rows=cases.loaded(case.rows)) as rig:
            edges = [0, *sorted(cut for cut in cuts if cut < case.intervals), case.intervals]
            for first, last in pairwise(edges):
                begin = case.view.start
                try:
                    rig.materialize(begin + first * case.view.schedule, begin + last * case.view.schedule)
                except CheckFailed:
                    reject()  # all rows of the stretch lack a key: that is refused, and tested with the checks
            counts.update(compare(case, rig, seed))

    look()
    assert counts["value"] > counts["null"], counts
