"""When the scheduler starts runs: any schedule, any delay, never beyond the end.

And how partitions are mapped.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from airflow.exceptions import InvalidPartitionKeyError
from airflow.serialization.decoders import decode_partition_mapper, decode_timetable
from airflow.serialization.encoders import encode_partition_mapper, encode_timetable
from airflow.timetables.base import DagRunInfo, TimeRestriction

from controlplane.airflow.mappers import FanOut, RollUp
from controlplane.airflow.timetable import IntervalTimetable, plain
from controlplane.base.types import EPOCH, floor, parse_duration

START = pendulum.datetime(2013, 1, 1)
FROM_START = TimeRestriction(START, None, catchup=False)
SCHEDULES = ["1s", "90s", "1m", "15m", "1h", "6h", "1d", "7d"]
DELAYS = ["0s", "7s", "30m", "90m", "25h"]


def following(
    timetable: IntervalTimetable, last: DagRunInfo | None, restriction: TimeRestriction
) -> DagRunInfo:
    info = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
    assert info is not None
    return info


def start_of(info: DagRunInfo) -> datetime:
    assert info.partition_date is not None
    return plain(info.partition_date)


@pytest.mark.parametrize("every", SCHEDULES)
@pytest.mark.parametrize("delay", DELAYS)
def test_each_interval_runs_at_its_end_and_delay(every, delay):
    step, late = parse_duration(every), parse_duration(delay)
    timetable = IntervalTimetable(every, delay=delay)
    before = floor(datetime.now(UTC) - late, step)
    first = following(timetable, None, FROM_START)
    after = floor(datetime.now(UTC) - late, step)
    assert before - step <= start_of(first) <= after - step  # the newest that is due
    assert (start_of(first) - EPOCH) % step == timedelta(0)
    second = following(timetable, first, FROM_START)
    assert start_of(second) >= start_of(first) + step
    for info in (first, second):
        assert info.run_after == start_of(info) + step + late
        assert info.partition_key == start_of(info).strftime("%Y-%m-%dT%H:%M:%S")
    if step > timedelta(minutes=1):
        assert start_of(second) == start_of(first) + step


def test_a_week_begins_on_thursday():
    info = following(IntervalTimetable("7d"), None, FROM_START)
    assert start_of(info).strftime("%A %H:%M") == "Thursday 00:00"


def test_a_week_begins_where_its_phase_says():
    timetable = decode_timetable(encode_timetable(IntervalTimetable("7d", phase="4d6h")))
    assert isinstance(timetable, IntervalTimetable)
    info = following(timetable, None, TimeRestriction(START, None, catchup=True))
    assert info.partition_key == "2013-01-07T06:00:00"  # the first Monday after the start
    assert start_of(following(timetable, info, FROM_START)) >= datetime(2013, 1, 14, 6, tzinfo=UTC)
    mapper = decode_partition_mapper(
        encode_partition_mapper(RollUp(upstream="6h", schedule="7d", phase="4d6h"))
    )
    assert mapper.to_downstream("2013-01-14T00:00:00") == info.partition_key
    assert mapper.to_downstream("2013-01-14T06:00:00") != info.partition_key


def test_with_catch_up_no_interval_is_left_out():
    everything = TimeRestriction(START, None, catchup=True)
    timetable = IntervalTimetable("6h", delay="10m")
    runs = [following(timetable, None, everything)]
    for _ in range(3):
        runs.append(following(timetable, runs[-1], everything))
    assert [run.partition_key for run in runs] == [
        f"2013-01-01T{hour:02}:00:00" for hour in (0, 6, 12, 18)
    ]
    assert runs[0].run_after == pendulum.datetime(2013, 1, 1, 6, 10)


def test_a_backfill_is_a_last_run_like_any_other():
    timetable = IntervalTimetable("1h", delay="30m")
    [filled] = timetable.iter_partition_dagrun_infos(earliest=START, latest=START)
    newest = following(timetable, None, FROM_START)
    assert following(timetable, filled, FROM_START) == newest
    nameless = newest._replace(partition_date=None)
    assert start_of(following(timetable, nameless, FROM_START)) == start_of(newest) + timedelta(
        hours=1
    )


def test_nothing_is_ever_scheduled_beyond_the_end():
    timetable = IntervalTimetable("1h", delay="30m", until="2013-01-03")
    assert timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=FROM_START) is None
    everything = TimeRestriction(START, None, catchup=True)
    last = DagRunInfo(
        run_after=START,
        data_interval=None,
        partition_date=pendulum.datetime(2013, 1, 2, 22),
        partition_key=None,
    )
    final = following(timetable, last, everything)
    assert final.partition_key == "2013-01-02T23:00:00"
    assert timetable.next_dagrun_info_v2(last_dagrun_info=final, restriction=everything) is None


def test_a_backfill_holds_the_intervals_that_begin_in_its_range():
    timetable = IntervalTimetable("1h", delay="30m", until="2013-01-03")
    first, last = pendulum.datetime(2013, 1, 2, 20), pendulum.datetime(2013, 1, 5)
    keys = [
        info.partition_key
        for info in timetable.iter_partition_dagrun_infos(earliest=first, latest=last)
    ]
    assert keys == [f"2013-01-02T{hour}:00:00" for hour in (20, 21, 22, 23)]
    keys = [
        info.partition_key
        for info in timetable.iter_partition_dagrun_infos(earliest=first, latest=first)
    ]
    assert keys == ["2013-01-02T20:00:00"]


def test_a_backfill_holds_nothing_that_is_not_due():
    timetable = IntervalTimetable("1d", delay="25h")
    now = pendulum.now("UTC")
    infos = list(
        timetable.iter_partition_dagrun_infos(earliest=now.subtract(days=5), latest=now.add(days=5))
    )
    assert infos
    assert all(info.run_after <= pendulum.now("UTC") for info in infos)


def test_a_partition_has_one_spelling():
    timetable = IntervalTimetable("1h")
    assert timetable.resolve_partition_date("2013-01-01T06:00:00") == datetime(
        2013, 1, 1, 6, tzinfo=UTC
    )
    for wrong in ("2013-01-01T06:30:00", "2013-01-01 06:00:00", "2013-01-01T06:00:00Z", "first"):
        with pytest.raises(InvalidPartitionKeyError, match="every 1h"):
            timetable.resolve_partition_date(wrong)


def test_a_manual_run_gets_the_last_interval():
    interval = IntervalTimetable("1h", delay="30m").infer_manual_data_interval(
        run_after=pendulum.datetime(2013, 1, 1, 8, 29)
    )
    assert (interval.start.hour, interval.end.hour) == (6, 7)


def test_airflow_stores_timetables_and_mappers():
    timetable = IntervalTimetable("7d", delay="90m", until="2013-01-03")
    again = decode_timetable(encode_timetable(timetable))
    assert isinstance(again, IntervalTimetable)
    assert again.serialize() == timetable.serialize()
    assert again.summary == "every 7d, 1h30m after the end"
    for mapper in (
        FanOut(upstream="1d", schedule="1h"),
        RollUp(upstream="1h", schedule="1d", since="2013-01-01"),
    ):
        stored = decode_partition_mapper(encode_partition_mapper(mapper))
        assert type(stored) is type(mapper)
        assert stored.serialize() == mapper.serialize()


def test_many_partitions_make_one():
    mapper = RollUp(upstream="2h", schedule="6h")
    assert mapper.is_rollup
    assert mapper.to_downstream("2013-01-01T10:00:00") == "2013-01-01T06:00:00"
    needed = mapper.to_upstream("2013-01-01T06:00:00")
    assert needed == {"2013-01-01T06:00:00", "2013-01-01T08:00:00", "2013-01-01T10:00:00"}
    assert all(mapper.to_downstream(key) == "2013-01-01T06:00:00" for key in needed)
    assert mapper.to_partition_date("2013-01-01T06:00:00") == datetime(2013, 1, 1, 6, tzinfo=UTC)


def test_a_week_of_days_begins_on_thursday_too():
    needed = RollUp(upstream="1d", schedule="7d").to_upstream("2013-01-03T00:00:00")
    assert sorted(needed) == [f"2013-01-{day:02}T00:00:00" for day in range(3, 10)]


def test_partitions_that_will_never_be_are_not_waited_for():
    mapper = RollUp(
        upstream="1h", schedule="1d", since="2013-01-01T22:00:00Z", until="2013-01-02T01:00:00Z"
    )
    assert mapper.to_upstream("2013-01-01T00:00:00") == {
        "2013-01-01T22:00:00",
        "2013-01-01T23:00:00",
    }
    assert mapper.to_upstream("2013-01-02T00:00:00") == {"2013-01-02T00:00:00"}


def test_one_partition_makes_many():
    mapper = FanOut(upstream="1d", schedule="6h")
    keys = mapper.to_downstream("2013-01-01T00:00:00")
    assert keys == [f"2013-01-01T{hour:02}:00:00" for hour in (0, 6, 12, 18)]
    assert mapper.max_downstream_keys == len(keys)
    assert mapper.to_partition_date(keys[1]) == datetime(2013, 1, 1, 6, tzinfo=UTC)
