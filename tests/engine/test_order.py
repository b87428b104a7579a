"""Whatever the order of runs, the tables are those of one run over everything: late, changed and
vanished rows too."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from controlplane.errors import CheckFailed
from controlplane.sql.rollups import levels
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.rig import Rig, naive
from tests.engine.shapes import PLAIN

CASES = int(os.environ.get("CASES", "8"))
Span = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """The intervals to compute, by number; before it, the raw rows become those of `version`."""

    span: Span
    version: int


def planned(choice: random.Random, intervals: int, versions: int) -> list[Step]:
    """All intervals in pieces of any order, now and then with a gap.

    Then old ones again, over data that changed.
    """
    cuts = [
        0,
        *sorted(choice.sample(range(1, intervals), min(choice.randint(0, 4), intervals - 1))),
        intervals,
    ]
    pieces = list(pairwise(cuts))
    if choice.random() < 0.7:
        choice.shuffle(pieces)
    if choice.random() < 0.2:
        pieces.pop()
    found = [Step(span, 0) for span in pieces]
    for version in range(versions):
        for _ in range(choice.randint(1, 3)):
            first = choice.randrange(intervals)
            found.append(
                Step((first, min(first + choice.choice([1, 1, 2, 5]), intervals)), version)
            )
    return found


def changed(choice: random.Random, case: Case) -> list[dict[str, Any]]:
    """The rows after some came late, some were corrected and some deleted.

    Now and then a whole key is gone.
    """
    seed, intervals = choice.randrange(2**32), case.intervals
    late = [
        cases.row_of(seed, number, case.view, intervals, case.form.shape)
        for number in range(choice.choice([0, 1, 3, 6]))
    ]
    kept = [row for row in case.rows if choice.random() < choice.choice([0.7, 0.95, 1.0])]
    if choice.random() < 0.4:
        key = case.view.keys[0]
        gone = choice.choice(cases.VALUES[key])
        kept = [row for row in kept if row[key] != gone]
    corrected = [row | {"i": 7} if choice.random() < 0.1 else row for row in kept]
    return corrected + late


def reads(case: Case, row: Mapping[str, Any]) -> set[int]:
    """The numbers of the intervals whose runs read the row, or a superset if others see it than its
    own."""
    view = case.view
    plain = view.time is not None and row["ts"] is not None and case.form.shape is PLAIN
    if (
        plain
        and row["ts"] < view.start
        and row["ts"] < view.start + view.schedule - cases.depth(view)
    ):
        return set()
    return set(case.touched(row))


def differing(case: Case, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> set[int]:
    """The intervals that must be computed again when `old` rows became `new` ones."""
    found: set[int] = set()
    one, other = [sorted(map(repr, rows)) for rows in (old, new)]
    for rows, others in ((old, other), (new, one)):
        for row in rows:
            if others.count(repr(row)) != [*map(repr, rows)].count(repr(row)):
                found |= reads(case, row)
    return found


def content(rig: Rig, part: str) -> list[dict[str, Any]]:
    """A table without what names runs, as text, in order; tombstones left out."""
    rows = [row for row in rig.table(part) if not row.get("is_deleted")]
    unnamed = {"version", "recorded_from", "is_deleted"}
    return sorted(
        ({name: told(value) for name, value in row.items() if name not in unnamed} for row in rows),
        key=repr,
    )


def told(value: Any) -> str:
    """The value as text.

    Doubles to nine digits, since the order of their addition is the engine's own.
    """
    if isinstance(value, list):
        return ", ".join(told(item) for item in value).join("[]")
    return f"{value + 0.0:.9g}" if isinstance(value, float) else repr(value)


def keys(rig: Rig, part: str, *, deleted: bool | None = None) -> set[tuple[Any, ...]]:
    rows = [row for row in rig.table(part) if deleted is None or row["is_deleted"] is deleted]
    return {tuple(row[name] for name, _ in rig.view.keys) for row in rows}


def newest(rig: Rig) -> list[dict[str, Any]]:
    """The newest row of each key of the history."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in sorted(content(rig, "history"), key=lambda row: int(row["valid_from"])):
        found[tuple(row[name] for name, _ in rig.view.keys)] = row
    return sorted(found.values(), key=repr)


def check_against_one_run(
    rig: Rig, case: Case, rows: list[dict[str, Any]], computed: set[int]
) -> None:
    """Compare with a warehouse where what is computed without a gap was computed at once."""
    view = case.view
    frontier = next(
        (number for number in range(case.intervals) if number not in computed), case.intervals
    )
    end = view.start + frontier * view.schedule
    assert rig.head().watermark.replace(tzinfo=None) == naive(end)
    with Rig(case.definition, cases.COLUMNS, rows=cases.loaded(rows)) as fresh:
        if view.time is None:
            # Any run reads a static table as a whole.
            fresh.materialize(view.start, view.start + view.schedule)
        elif frontier:
            fresh.materialize(view.start, end)
        assert content(rig, "history") == content(fresh, "history")
        assert content(rig, "latest") == content(fresh, "latest")
        if levels(rig.view):
            assert content(rig, "rollups") == content(fresh, "rollups")
        if frontier == len(computed) or view.time is None:
            assert content(rig, "tiles") == content(fresh, "tiles")
    assert content(rig, "latest") == newest(rig)


def follow(
    case: Case, later: list[list[dict[str, Any]]], plan: list[Step], choice: random.Random
) -> bool:
    """Follow the plan, heal what it left stale, and compare after it.

    Whether anything stood in the tables.
    """
    view, versions = case.view, [case.rows, *later]
    computed: set[int] = set()
    stale: set[int] = set()
    seen: set[tuple[Any, ...]] = set()
    version = last = 0
    with Rig(case.definition, cases.COLUMNS, rows=cases.loaded(case.rows)) as rig:

        def run(first: int, end: int) -> None:
            nonlocal last
            rig.materialize(view.start + first * view.schedule, view.start + end * view.schedule)
            computed.update(range(first, end))
            stale.difference_update(
                range(case.intervals) if view.time is None else range(first, end)
            )
            assert rig.head().version > last
            last = rig.head().version
            seen.update(keys(rig, "latest"))

        for step in plan:
            if step.version != version:
                stale |= differing(case, versions[version], versions[step.version]) & computed
                version = step.version
                rig.replace(cases.loaded(versions[version]))
            run(*step.span)
            if not stale and choice.random() < 0.2:
                check_against_one_run(rig, case, versions[version], computed)
        for number in choice.sample(sorted(stale), len(stale)):
            run(number, number + 1)
        check_against_one_run(rig, case, versions[version], computed)
        assert keys(rig, "latest") == seen, "a key that was once shown must stay, deleted or not"
        assert keys(rig, "latest", deleted=True) == seen - keys(rig, "history")
        assert len(rig.table("latest")) == len(seen)
        return bool(rig.table("history"))


def test_any_order_gives_the_same_tables() -> None:
    full = 0

    @settings(
        max_examples=CASES,
        derandomize="CASES" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases.cases(1, 4, 7, 9, 12), st.integers(0, 2**63))
    def look(case: Case, seed: int) -> None:
        nonlocal full
        choice = random.Random(seed)
        versions = choice.randint(1, 3)
        later = [changed(choice, case) for _ in range(versions - 1)]
        plan = planned(choice, case.intervals, versions)
        try:
            full += follow(case, later, plan, choice)
        except CheckFailed:
            reject()  # all rows of a run lack a key: that is refused, and tested with the checks

    look()
    assert full > CASES / 2, full
