"""What was served, by replay: after every run the users' table is remembered, and training must
find it again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view
from controlplane.errors import CheckFailed, PlaneError, Problems
from controlplane.verify.oracle import RowFeature, View, WindowFeature, same
from tests.engine import cases
from tests.engine.cases import Case
from tests.engine.grids import text
from tests.engine.rig import NOW, Reader, Rig, naive
from tests.engine.test_edges import COLUMNS, DAY, START, SUM, row, subject_of
from tests.engine.test_order import Step, changed, planned

CASES = int(os.environ.get("CASES", "12"))


@dataclass(frozen=True)
class Shown:
    """The users' table as a publication left it, and the instant of that publication."""

    since: int
    table: Reader


def remembered(rig: Rig) -> Shown:
    return Shown(
        rig.head().version, Reader(rig.table(), [name for name, _ in rig.view.keys], "valid_to")
    )


def served(log: Sequence[Shown], view: View, key: Sequence[Any], at: int) -> Mapping[str, Any]:
    """What a reader of the users' table saw of one key at one instant."""
    shown = [one for one in log if one.since <= at]
    return (shown[-1].table.at(key, at) if shown else None) or view.nothing()


def spine(
    log: Sequence[Shown], keys: Sequence[tuple[Any, ...]], choice: random.Random
) -> list[tuple[Any, int]]:
    """Every key at and beside the instants of publications, and at some time between, before and
    after."""
    moments = [one.since for one in log]
    moments += [
        choice.randint(moments[0] - 1000, moments[-1] + 100_000) for _ in range(len(moments) + 3)
    ]
    return [(key, at + beside) for key in keys for at in moments for beside in (-1, 0, 1)]


def follow(
    case: Case, later: Sequence[list[dict[str, Any]]], plan: Sequence[Step], choice: random.Random
) -> int:
    """Run the plan, train as of what was served, and compare; how many values were found."""
    view, versions, log = case.view, [case.rows, *later], []
    keys = list({tuple(row[k] for k in view.keys) for rows in versions for row in rows})
    with Rig(case.definition, cases.COLUMNS, rows=cases.loaded(case.rows)) as rig:
        for step in plan:
            rig.replace(cases.loaded(versions[step.version]))
            first, end = step.span
            rig.materialize(view.start + first * view.schedule, view.start + end * view.schedule)
            log.append(remembered(rig))
        asked = spine(log, choice.sample(keys, min(len(keys), 6)), choice)
        found = rig.training_set(asked, as_of="served", allow_gaps=True)
    for (key, at), told in zip(asked, found, strict=True):
        expected = {} if None in key else served(log, view, key, at)
        for name, value in expected.items():
            if name not in {"valid_from", "valid_to", *view.keys}:
                assert same(told[name], value), (
                    f"{key} at {at - log[0].since}: {name} is {told[name]!r}, not {value!r}"
                )
    return sum(value is not None for told in found for value in told.values())


def recent(choice: random.Random) -> Case:
    """A view of the last and the next milliseconds, so that values begin before, between and after
    publications."""
    schedule = choice.choice([10_000, 40_000, 200_000, 1_000_000])
    start = (int(time.time() * 1_000_000) // schedule - choice.randint(0, 3)) * schedule
    delay, intervals = choice.choice([0, 0, schedule, 7]), choice.choice([3, 8, 20])
    ttl = choice.choice([None, schedule, 2 * schedule])
    declared: list[Attribute | Aggregate] = [Attribute("i", "int64"), Attribute("s", "string")]
    by_hand: list[RowFeature | WindowFeature] = [RowFeature("i"), RowFeature("s")]
    if ttl is None:
        for window in (schedule, 3 * schedule):
            declared.append(Aggregate("count", windows=[text(window)], name="n"))
            by_hand.append(WindowFeature(f"n_{text(window)}", "count", None, window))
    events = BatchSource("events", table="raw.events", timestamp="ts", settling_delay=text(delay))

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=declared,
        schedule=text(schedule),
        start=naive(start).isoformat(),
        ttl=None if ttl is None else text(ttl),
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    view = View(["k"], "ts", by_hand, schedule, start, delay, ttl)
    rows = [
        cases.row_of(choice.randrange(2**32), number, view, intervals)
        for number in range(choice.choice([9, 40]))
    ]
    return Case(subject, view, rows, intervals)


def plan_of(choice: random.Random, intervals: int, versions: int) -> list[Step]:
    """Any runs, and then some over raw rows that are as they were before: what was gone comes
    back."""
    back = [
        Step((0, choice.randint(1, intervals)), choice.randrange(versions))
        for _ in range(choice.randint(0, 4))
    ]
    return planned(choice, intervals, versions) + back


def test_training_finds_again_what_was_served() -> None:
    found = 0

    @settings(
        max_examples=CASES,
        derandomize="CASES" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=(Phase.generate,),
        deadline=None,
    )
    @given(cases.cases(1, 4, 7), st.integers(0, 2**63))
    def look(case: Case, seed: int) -> None:
        nonlocal found
        choice = random.Random(seed)
        case = recent(choice) if choice.random() < 0.75 else case
        versions = choice.randint(1, 4)
        later = [changed(choice, case) for _ in range(versions - 1)]
        try:
            found += follow(case, later, plan_of(choice, case.intervals, versions), choice)
        except CheckFailed:
            reject()  # all rows of a run lack a key: that is refused, and tested with the checks

    look()
    assert found > CASES * 10, found


ROWS = [row("01-01", 1), row("01-02", 2)]


def published(rig: Rig, *versions: Sequence[Mapping[str, Any]]) -> list[int]:
    """Two days computed over each version of the raw rows; the instants of the publications."""
    found = []
    for rows in versions:
        rig.replace(rows)
        rig.materialize(START, START + 2 * DAY)
        found.append(rig.head().version)
    return found


def test_what_vanished_and_came_back_was_not_there_between() -> None:
    with Rig(subject_of(Attribute("amt", "int64")), COLUMNS) as rig:
        instants = published(rig, ROWS, ROWS[:1], ROWS)
        asked = [(["a"], at + beside) for at in instants for beside in (-1, 0)]
        found = rig.training_set(asked, as_of="served", allow_gaps=True)
        assert [one["amt"] for one in found] == [None, 2, 2, 1, 1, 2]
        assert [one["amt"] for one in rig.training_set(asked, allow_gaps=True)] == [2] * 6
        [definition] = rig.run(
            "SELECT definition ->> 'as_of' FROM _plane.datasets WHERE version = 1"
        )
        assert definition == ("served",)


def test_a_run_that_changes_nothing_leaves_no_trace() -> None:
    with Rig(subject_of(Attribute("amt", "int64"), SUM), COLUMNS) as rig:
        [first, again] = published(rig, ROWS, ROWS)
        assert rig.table("history_replaced") == []
        assert {(one["recorded_from"], one["version"]) for one in rig.table("history")} == {
            (first, again)
        }
        [corrected] = published(rig, [ROWS[0], row("01-02", 5)])
        [before] = rig.table("history_replaced")
        assert (before["amt"], before["recorded_from"], before["recorded_to"]) == (
            2,
            first,
            corrected,
        )
        assert [one["recorded_from"] for one in rig.table("history")] == [first, corrected]


def test_before_the_first_publication_nothing_was_served() -> None:
    events = BatchSource("events", table="raw.events", timestamp="ts")

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="team")],
        sources=[events],
        features=[SUM],
        schedule="1d",
        start="2024-01-01",
        end="2024-01-03",
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    with Rig(subject, COLUMNS) as rig:
        [first] = published(rig, ROWS)
        assert rig.training_set([(["a"], first)], as_of="served")[0]["amt_sum_1d"] == 2
        with pytest.raises(
            Problems,
            match=r"feature view 'subject' served nothing before .*, its first publication",
        ):
            rig.training_set([(["a"], first), (["a"], first - 1)], as_of="served")
        rig.manifest = msgspec.structs.replace(rig.manifest, now=NOW)
        with pytest.raises(PlaneError, match="environment 'test' has a fixed now"):
            rig.training_set([(["a"], first)], as_of="served")
