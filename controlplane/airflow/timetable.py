"""Schedules a view's DAG: one run for each interval of its epoch grid, at the interval's end + D.

Airflow's cron timetables can't do that. Cron can't express every divisor of a day, and can't shift
a run without shifting its partition's name. The `end_date` that would end such a schedule also
blocks runs that a person triggers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.exceptions import InvalidPartitionKeyError
from airflow.sdk.timezone import coerce_datetime
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from controlplane.base import naming
from controlplane.base.types import (
    ceil,
    floor,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    utc,
)

if TYPE_CHECKING:
    from airflow.utils.types import DagRunType


def plain(instant: datetime) -> datetime:
    """Convert Airflow's datetime to Python's own, in UTC: arithmetic between the two fails."""
    return utc(datetime.fromisoformat(instant.isoformat()))


class IntervalTimetable(Timetable):
    """One partition for each interval `[kS, (k+1)S)`, run at its end + D.

    The partition's key is the start of the interval.

    Args:
        every: the schedule S, such as `1h`.
        delay: the settling delay D, from an interval's end until all its data has arrived.
        phase: the offset of the grid from the epoch.
        until: the end of the last interval to schedule or to backfill.
    """

    partitioned = True

    def __init__(
        self, every: str, *, delay: str = "0s", phase: str = "0s", until: str | None = None
    ) -> None:
        self._step = parse_duration(every)
        self._delay = parse_duration(delay)
        self._phase = parse_duration(phase)
        self._until = parse_instant(until) if until is not None else None
        self.description = self.summary

    @property
    def summary(self) -> str:
        """The text in Airflow's list of DAGs."""
        late = f", {format_duration(self._delay)} after the end" if self._delay else ""
        return f"every {format_duration(self._step)}{late}"

    def serialize(self) -> dict[str, Any]:
        """Return the arguments for `deserialize`."""
        until = format_instant(self._until) if self._until is not None else None
        return {
            "every": format_duration(self._step),
            "delay": format_duration(self._delay),
            "phase": format_duration(self._phase),
            "until": until,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Timetable:
        """Make the timetable from the result of `serialize`."""
        return cls(data["every"], delay=data["delay"], phase=data["phase"], until=data["until"])

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return None: for a DAG with partitions, Airflow calls only `next_dagrun_info_v2`."""
        return None

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the run after the last one; without catch-up, it skips to the newest due run."""
        starts = []
        if restriction.earliest is not None:
            starts.append(self._ceil(plain(restriction.earliest)))
        if last_dagrun_info is not None:
            starts.append(self._start_of(last_dagrun_info) + self._step)
        if not (starts and restriction.catchup):
            starts.append(self._floor(datetime.now(UTC) - self._delay) - self._step)
        return self._run(max(starts), restriction.latest)

    def iter_partition_dagrun_infos(
        self, *, earliest: datetime, latest: datetime
    ) -> Iterable[DagRunInfo]:
        """Yield a backfill's runs: all due intervals that begin from `earliest` to `latest`."""
        start, now = self._ceil(plain(earliest)), datetime.now(UTC)
        while start <= latest and (run := self._run(start)) is not None and run.run_after <= now:
            yield run
            start += self._step

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """Return the last interval that was due at `run_after`."""
        end = self._floor(plain(run_after) - self._delay)
        return DataInterval(coerce_datetime(end - self._step), coerce_datetime(end))

    def generate_run_id(
        self,
        *,
        run_type: DagRunType,
        run_after: datetime,
        data_interval: DataInterval | None,
        **extra: Any,
    ) -> str:
        """Return `scheduled__<partition>__<now>`."""
        # With the time, because a partition may run several times, and run ids are unique.
        key = extra.get("partition_key") or run_after.isoformat()
        return run_type.generate_run_id(suffix=f"{key}__{format_instant(datetime.now(UTC))}")

    def _decode_partition_date(self, partition_key: str) -> datetime:
        try:
            start = parse_instant(partition_key)
        except ValueError:
            start = None
        nearest = naming.partition_key(self._floor(start or datetime.now(UTC)))
        if start is None or partition_key != nearest:
            raise InvalidPartitionKeyError(
                f"{partition_key!r} is not the key of a partition: they begin every"
                f" {format_duration(self._step)} and are written like {nearest}"
            )
        return start

    def _floor(self, instant: datetime) -> datetime:
        return floor(instant, self._step, self._phase)

    def _ceil(self, instant: datetime) -> datetime:
        return ceil(instant, self._step, self._phase)

    def _start_of(self, info: DagRunInfo) -> datetime:
        if info.partition_date is not None:
            return self._floor(plain(info.partition_date))
        return self._floor(plain(info.run_after) - self._delay) - self._step

    def _run(self, start: datetime, latest: datetime | None = None) -> DagRunInfo | None:
        end = start + self._step
        if (self._until is not None and end > self._until) or (
            latest is not None and start > latest
        ):
            return None
        return DagRunInfo(
            run_after=coerce_datetime(end + self._delay),
            data_interval=None,
            partition_date=coerce_datetime(start),
            partition_key=naming.partition_key(start),
        )
