"""Which stretch of time a DAG run computes, and when it may begin.

Pure: knows neither Airflow nor a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controlplane.base import naming
from controlplane.base.types import Interval, format_instant, parse_instant
from controlplane.errors import PermanentError
from controlplane.release.program import Program

KEYS = ("start", "end")
_EXAMPLE = 'Write {"start": "2013-01-01", "end": "2013-02-01"}; the end itself is not computed'


@dataclass(frozen=True)
class Request:
    """What a DAG run says of the time that it is for.

    Attributes:
        at: when it was asked for: its logical date, or the moment after which it may run.
        partition: where the interval of its partition begins; scheduled, backfill and
            asset-triggered runs have one.
        start: first instant of a range, as the person wrote it who triggered the run.
        end: first instant after that range.
    """

    at: datetime
    partition: datetime | None = None
    start: str | None = None
    end: str | None = None


def check_configuration(view: str, configuration: object) -> Mapping[str, str | None]:
    """A DAG run's configuration, whose keys must all mean something: what is misspelt must not run
    something else.

    Args:
        view: the feature view.
        configuration: as the person wrote it who triggered the run.

    Raises:
        PermanentError: it is not an object with the keys of `KEYS` and texts as values.
    """
    what, hint = (
        f"feature view {view!r}: the run's configuration",
        f"its keys are {' and '.join(KEYS)}. {_EXAMPLE}",
    )
    if not isinstance(configuration, Mapping):
        raise PermanentError(f"{what} is not an object", hint=hint)
    if unknown := [str(key) for key in configuration if key not in KEYS]:
        raise PermanentError(f"{what} has unknown keys: {', '.join(unknown)}", hint=hint)
    for key, value in configuration.items():
        if not isinstance(value, str | None):
            raise PermanentError(f"{what}: {key} is not a text", hint=hint)
    return configuration


def interval_of(program: Program, request: Request) -> Interval:
    """The stretch that a run computes: its range, else its partition, else the last interval that
    was due.

    Raises:
        PermanentError: the range can't be read, contradicts a partition, or no interval is due yet.
    """
    timing = program.timing
    if request.start or request.end:
        return _range(program, request)
    if request.partition is not None:
        return Interval(request.partition, request.partition + timing.schedule)
    at = request.at if program.now is None else min(request.at, program.now)
    due = timing.due(at)
    if due is None:
        first = format_instant(timing.start + timing.schedule + timing.delay)
        raise PermanentError(
            f"feature view {program.view!r}: no interval is due at {format_instant(at)}",
            hint=f"the first one is due at {first}",
        )
    return Interval(due.end - timing.schedule, due.end)


def waits_until(program: Program, interval: Interval, wall: datetime) -> datetime | None:
    """The moment at which the run may begin to read, if that is yet to come: the interval's end +
    D.

    Args:
        program: the view.
        interval: what the run computes.
        wall: the wall clock.

    Raises:
        PermanentError: the interval has not ended, or lies beyond the view's `end` or the
            environment's fixed `now`.
    """
    timing = program.timing
    ready = interval.end + timing.delay
    what = f"feature view {program.view!r}: {interval}"
    if timing.end is not None and timing.last is not None and interval.end > timing.last:
        hint = "give an earlier range, or deploy a later end"
        raise PermanentError(
            f"{what} goes beyond the view's end, {format_instant(timing.end)}", hint=hint
        )
    if program.now is not None:
        if ready > program.now:
            text = (
                f"{what} is not due: in this environment it is always {format_instant(program.now)}"
            )
            raise PermanentError(
                text, hint="give an earlier range, or deploy the environment with a later `now`"
            )
        return None
    if interval.end > wall:
        raise PermanentError(
            f"{what} has not ended yet", hint=f"run it at {format_instant(ready)} or later"
        )
    return ready if ready > wall else None


def partition_keys(program: Program, interval: Interval) -> list[str]:
    """The keys of all partitions that the interval covers, in order."""
    return [naming.partition_key(part.start) for part in interval.split(program.timing.schedule)]


def _range(program: Program, request: Request) -> Interval:
    what = f"feature view {program.view!r}: the run's range"
    hint = f"give both. {_EXAMPLE}"
    if not (request.start and request.end):
        raise PermanentError(f"{what} lacks its {'end' if request.start else 'start'}", hint=hint)
    if request.partition is not None:
        text = f"{what} stands beside the partition {naming.partition_key(request.partition)}"
        raise PermanentError(text, hint="give one of them")
    try:
        start, end = parse_instant(request.start), parse_instant(request.end)
    except ValueError as error:
        raise PermanentError(f"{what} can't be read: {error}", hint=hint) from None
    if start >= end:
        raise PermanentError(f"{what} ends before it begins", hint=hint)
    return Interval(start, end)
