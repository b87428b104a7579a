"""Chooses the interval that a DAG run computes, and when the run may begin.

Pure functions: they use neither Airflow nor a clock.
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
    """The time range that a DAG run is for.

    Attributes:
        at: the run's logical date, or else the moment after which it may run.
        partition: the start of its partition's interval; scheduled, backfill and asset-triggered
            runs have one.
        start: the first instant of a range, as the person who triggered the run wrote it.
        end: the first instant after that range.
    """

    at: datetime
    partition: datetime | None = None
    start: str | None = None
    end: str | None = None


def check_configuration(view: str, configuration: object) -> Mapping[str, str | None]:
    """Check a DAG run's configuration: a misspelt key must not run another interval.

    Args:
        view: the feature view.
        configuration: the configuration, as the person who triggered the run wrote it.

    Raises:
        PermanentError: it is not an object with the keys of `KEYS` and texts as values.
    """
    subject = f"feature view {view!r}: the run's configuration"
    hint = f"its keys are {' and '.join(KEYS)}. {_EXAMPLE}"
    if not isinstance(configuration, Mapping):
        raise PermanentError(f"{subject} is not an object", hint=hint)
    if unknown := [str(key) for key in configuration if key not in KEYS]:
        raise PermanentError(f"{subject} has unknown keys: {', '.join(unknown)}", hint=hint)
    for key, value in configuration.items():
        if not isinstance(value, str | None):
            raise PermanentError(f"{subject}: {key} is not a string", hint=hint)
    return configuration


def interval_of(program: Program, request: Request) -> Interval:
    """Return the interval that a run computes.

    It is the run's range, else its partition, else the last interval that is due.

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
            hint=f"the first interval is due at {first}",
        )
    return Interval(due.end - timing.schedule, due.end)


def waits_until(program: Program, interval: Interval, wall: datetime) -> datetime | None:
    """Return when a run may begin to read, if that is in the future: its interval's end + D.

    Args:
        program: the view's program.
        interval: the interval that the run computes.
        wall: the wall clock.

    Raises:
        PermanentError: the interval has not ended, or is after the view's `end` or the
            environment's fixed `now`.
    """
    timing = program.timing
    ready = interval.end + timing.delay
    subject = f"feature view {program.view!r}: {interval}"
    if timing.end is not None and timing.last is not None and interval.end > timing.last:
        text = f"{subject} goes beyond the view's end, {format_instant(timing.end)}"
        raise PermanentError(text, hint="give an earlier range, or deploy a later end")
    if program.now is not None:
        if ready > program.now:
            now = format_instant(program.now)
            text = f"{subject} is not due: the environment's time is fixed at {now}"
            hint = "give an earlier range, or deploy the environment with a later `now`"
            raise PermanentError(text, hint=hint)
        return None
    if interval.end > wall:
        hint = f"run it at {format_instant(ready)} or later"
        raise PermanentError(f"{subject} has not ended yet", hint=hint)
    return ready if ready > wall else None


def partition_keys(program: Program, interval: Interval) -> list[str]:
    """Return the keys of all partitions that an interval covers, in order."""
    return [naming.partition_key(part.start) for part in interval.split(program.timing.schedule)]


def _range(program: Program, request: Request) -> Interval:
    subject = f"feature view {program.view!r}: the run's range"
    hint = f"give start and end. {_EXAMPLE}"
    if not (request.start and request.end):
        missing = "end" if request.start else "start"
        raise PermanentError(f"{subject} has no {missing}", hint=hint)
    if request.partition is not None:
        key = naming.partition_key(request.partition)
        text = f"{subject} contradicts the run's partition {key}"
        raise PermanentError(text, hint="give either a range or a partition")
    try:
        start, end = parse_instant(request.start), parse_instant(request.end)
    except ValueError as error:
        raise PermanentError(f"{subject} can't be read: {error}", hint=hint) from None
    if start >= end:
        raise PermanentError(f"{subject} ends before it begins", hint=hint)
    return Interval(start, end)
