"""Windows of aggregates that a length alone does not describe."""

from __future__ import annotations

from dataclasses import dataclass

LIFETIME = "lifetime"
"""Among an aggregate's windows: everything from the view's start on."""


@dataclass(frozen=True)
class Series:
    """Several windows of one length, one after the other: the feature is the list of their values,
    oldest first.

    Args:
        window: the length of each, such as `1d`.
        steps: how many there are; the last one ends where a sliding window would.
        step: how long after one the next one ends; `window` unless given.
    """

    window: str
    steps: int
    step: str | None = None


@dataclass(frozen=True)
class Calendar:
    """Whole periods of a calendar: `Calendar("month")` is this month so far, with `ago=1` the whole
    month before.

    The window at T holds `count` periods, the last of which is `ago` before the one that T lies in;
    nothing at or after T is ever in it. Days may have 23 or 25 hours; weeks begin on Mondays.

    Args:
        unit: day, week or month.
        zone: the time zone whose clocks say when a period begins, by its IANA name such as
            `Europe/Berlin`.
        count: how many periods; more than one only with `ago`.
        ago: 0 for the period that has begun, 1 for the last one that is over.
    """

    unit: str
    zone: str = "UTC"
    count: int = 1
    ago: int = 0
