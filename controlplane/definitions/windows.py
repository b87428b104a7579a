"""Windows of aggregates that are more than a length."""

from __future__ import annotations

from dataclasses import dataclass

LIFETIME = "lifetime"
"""The window that covers everything from the view's start on."""


@dataclass(frozen=True)
class Series:
    """Several windows of one length; the feature is the list of their values, oldest first.

    Args:
        window: the length of each window, such as `1d`.
        steps: the number of windows; the last one ends where a sliding window would.
        step: the time between the ends of two windows (default: `window`).
    """

    window: str
    steps: int
    step: str | None = None


@dataclass(frozen=True)
class Calendar:
    """Whole periods of a calendar: `Calendar("month")` is this month so far.

    `Calendar("month", ago=1)` is the whole previous month.

    The window at T covers `count` periods; the last of them is `ago` periods before the one that
    contains T. Nothing at or after T is ever in it. Days may have 23 or 25 hours; weeks begin on
    Mondays.

    Args:
        unit: day, week or month.
        zone: the time zone in which periods begin, by its IANA name such as
            `Europe/Berlin`.
        count: the number of periods; more than one only with `ago`.
        ago: 0 for the current period, 1 for the one before.
    """

    unit: str
    zone: str = "UTC"
    count: int = 1
    ago: int = 0
