"""Which stretch of time a run computes: every kind of run, on the wall clock and where time stands
still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.airflow.window import (
    Request,
    check_configuration,
    interval_of,
    partition_keys,
    waits_until,
)
from controlplane.base.types import Interval
from controlplane.codec import Field, Layout
from controlplane.errors import Location, PermanentError
from controlplane.manifest.timing import Timing
from controlplane.release.program import Program

HOUR, DELAY = timedelta(hours=1), timedelta(minutes=30)
START = datetime(2013, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2013, 1, day, hour, minute, tzinfo=UTC)


def program(*, now: datetime | None = None, end: datetime | None = None) -> Program:
    return Program(
        project="flights",
        environment="local",
        schema="features",
        view="delays",
        fingerprint="0",
        owner="ops",
        static=False,
        online=True,
        timing=Timing(HOUR, DELAY, START, end),
        lateness=timedelta(0),
        now=now,
        read_start=START,
        sources={},
        ledger="",
        head="",
        doors="",
        layout=Layout(keys=(("origin", "string"),), fields=(Field("count", "int64"),)),
        location=Location("features/delays.py", 1),
    )


@pytest.mark.parametrize(
    ("asked", "last"),
    [(at(1, 30), at(0)), (at(2, 29), at(0)), (at(2, 30), at(1)), (at(9, 59), at(8))],
)
def test_a_run_without_anything_computes_the_last_interval_that_was_due(asked, last):
    assert interval_of(program(), Request(at=asked)) == Interval(last, last + HOUR)


@pytest.mark.parametrize(
    "accepted", [{}, {"start": None, "end": None}, {"start": "2013-01-01", "end": "2013-01-02"}]
)
def test_b8_a_configuration_of_known_keys(accepted):
    """Case B8: Airflow's form gives both keys, empty ones too."""
    assert check_configuration("delays", accepted) == accepted


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ({"starts": "2013-01-01"}, "unknown keys: starts"),
        ({"Start": "2013-01-01", "end": "2013-01-02"}, "unknown keys: Start"),
        ({1: "2013-01-01"}, "unknown keys: 1"),
        ({"start": 20130101, "end": 20130102}, "start is not a string"),
        ({"start": "2013-01-01", "end": ["2013-01-02"]}, "end is not a string"),
        (["2013-01-01", "2013-01-02"], "is not an object"),
        ("2013-01-01", "is not an object"),
    ],
)
def test_b8_what_means_nothing_in_a_configuration_is_refused(refused, message):
    """Case B8: the error says what the known keys are, and fails for good."""
    with pytest.raises(PermanentError, match=message) as caught:
        check_configuration("delays", refused)
    assert "its keys are start and end" in caught.value.hint


def test_nothing_is_due_before_the_first_end_and_delay():
    with pytest.raises(PermanentError, match="no interval is due") as caught:
        interval_of(program(), Request(at=at(1, 29)))
    assert "2013-01-01T01:30:00Z" in caught.value.hint


def test_a_run_without_anything_stays_within_a_fixed_now_and_the_views_end():
    assert interval_of(program(now=at(5, 30)), Request(at=LATER)) == Interval(at(4), at(5))
    assert interval_of(program(now=at(5, 30)), Request(at=at(3, 30))) == Interval(at(2), at(3))
    assert interval_of(program(end=at(4)), Request(at=LATER)) == Interval(at(3), at(4))


def test_a_partition_is_its_interval():
    assert interval_of(program(), Request(at=LATER, partition=at(7))) == Interval(at(7), at(8))


def test_a_range_is_taken_as_it_stands():
    request = Request(at=LATER, start="2013-01-01T03:00:00Z", end="2013-01-02")
    assert interval_of(program(), request) == Interval(at(3), at(0, day=2))


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2013-01-01", None, "has no end"),
        (None, "2013-01-01", "has no start"),
        ("yesterday", "2013-01-02", "can't be read"),
        ("2013-01-02", "2013-01-02", "ends before it begins"),
    ],
)
def test_a_wrong_range_is_refused(start, end, message):
    with pytest.raises(PermanentError, match=message):
        interval_of(program(), Request(at=LATER, start=start, end=end))


def test_a_range_beside_a_partition_is_refused():
    with pytest.raises(PermanentError, match="the run's partition 2013-01-01T07:00:00"):
        interval_of(
            program(), Request(at=LATER, partition=at(7), start="2013-01-01", end="2013-01-02")
        )


def test_a_run_waits_for_the_settling_delay_and_not_longer():
    interval = Interval(at(7), at(8))
    assert waits_until(program(), interval, at(8)) == at(8, 30)
    assert waits_until(program(), interval, at(8, 29)) == at(8, 30)
    assert waits_until(program(), interval, at(8, 30)) is None


def test_an_interval_that_has_not_ended_is_refused():
    with pytest.raises(PermanentError, match="has not ended yet"):
        waits_until(program(), Interval(at(7), at(8)), at(7, 59))


def test_where_time_stands_still_nothing_after_now_is_computed_and_nothing_waits():
    assert waits_until(program(now=at(8, 30)), Interval(at(7), at(8)), LATER) is None
    with pytest.raises(PermanentError, match="time is fixed at 2013-01-01T08:29:00Z"):
        waits_until(program(now=at(8, 29)), Interval(at(7), at(8)), LATER)


def test_nothing_is_computed_beyond_the_views_end():
    assert waits_until(program(end=at(8)), Interval(at(7), at(8)), LATER) is None
    with pytest.raises(PermanentError, match="beyond the view's end"):
        waits_until(program(end=at(8)), Interval(at(7), at(9)), LATER)


def test_a_run_covers_all_its_partitions():
    keys = partition_keys(program(), Interval(at(22), at(1, day=2)))
    assert keys == ["2013-01-01T22:00:00", "2013-01-01T23:00:00", "2013-01-02T00:00:00"]
