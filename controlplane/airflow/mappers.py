"""Maps partitions of an upstream view to those of a view that reads it on another schedule.

Airflow's own mappers know hours, days and ISO weeks. These know every epoch grid, and all of them
write keys in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from airflow.partition_mappers.base import PartitionMapper
from airflow.partition_mappers.wait_policy import WaitForAll

from controlplane.base.naming import partition_key
from controlplane.base.types import (
    floor,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)


class RollUp(PartitionMapper):
    """Maps many upstream partitions to one, which runs when all of them are published.

    Args:
        upstream: the upstream view's schedule, such as `1h`.
        schedule: the reading view's schedule, a multiple of `upstream`.
        phase: the offset of the reading view's grid from the epoch.
        since: the start of the first upstream partition; earlier ones are not required.
        until: the end of the last upstream partition; later ones are not required.
    """

    is_rollup = True
    wait_policy = WaitForAll()

    def __init__(
        self,
        *,
        upstream: str,
        schedule: str,
        phase: str = "0s",
        since: str | None = None,
        until: str | None = None,
    ) -> None:
        super().__init__()
        self._phase = parse_duration(phase)
        self._upstream, self._schedule = parse_duration(upstream), parse_duration(schedule)
        self._since = parse_instant(since) if since is not None else None
        self._until = parse_instant(until) if until is not None else None

    def to_downstream(self, key: str) -> str:
        """Return the partition that contains the upstream one."""
        return partition_key(floor(parse_instant(key), self._schedule, self._phase))

    def to_upstream(self, downstream_key: str) -> frozenset[str]:
        """Return all upstream partitions that a partition needs."""
        start = parse_instant(downstream_key)
        return frozenset(
            partition_key(part)
            for part in _parts(start, self._schedule, self._upstream)
            if (self._since is None or part >= self._since)
            and (self._until is None or part < self._until)
        )

    def to_partition_date(self, downstream_key: str) -> datetime:
        """Return the start of the partition."""
        return parse_instant(downstream_key)

    def serialize(self) -> dict[str, Any]:
        """Return the arguments for `deserialize`."""
        return {
            "upstream": format_duration(self._upstream),
            "schedule": format_duration(self._schedule),
            "phase": format_duration(self._phase),
            "since": format_instant(self._since) if self._since is not None else None,
            "until": format_instant(self._until) if self._until is not None else None,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PartitionMapper:
        """Make the mapper from the result of `serialize`."""
        return cls(**data)


class FanOut(PartitionMapper):
    """Maps one upstream partition to many, which all run when it is published.

    Args:
        upstream: the upstream view's schedule, such as `1d`.
        schedule: the reading view's schedule, a divisor of `upstream`.
    """

    def __init__(self, *, upstream: str, schedule: str) -> None:
        self._upstream, self._schedule = parse_duration(upstream), parse_duration(schedule)
        super().__init__(max_downstream_keys=self._upstream // self._schedule)

    def to_downstream(self, key: str) -> Iterable[str]:
        """Return the partitions inside the upstream one."""
        return [
            partition_key(part)
            for part in _parts(parse_instant(key), self._upstream, self._schedule)
        ]

    def to_partition_date(self, downstream_key: str) -> datetime:
        """Return the start of the partition."""
        return parse_instant(downstream_key)

    def serialize(self) -> dict[str, Any]:
        """Return the arguments for `deserialize`."""
        return {
            "upstream": format_duration(self._upstream),
            "schedule": format_duration(self._schedule),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PartitionMapper:
        """Make the mapper from the result of `serialize`."""
        return cls(**data)


def _parts(start: datetime, whole: timedelta, part: timedelta) -> list[datetime]:
    return [start + index * part for index in range(whole // part)]
