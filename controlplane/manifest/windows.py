"""The windows of aggregates, and the time zones of calendar windows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from controlplane.base.types import format_duration

LAST_YEAR = 2100
"""The time zones of a manifest have no offsets from this year on."""


class SlidingWindow(msgspec.Struct, frozen=True, tag_field="kind", tag="sliding"):
    """The last `length` before T."""

    length: timedelta


class LifetimeWindow(msgspec.Struct, frozen=True, tag_field="kind", tag="lifetime"):
    """Everything before T, from the view's start on."""


class SeriesWindow(msgspec.Struct, frozen=True, tag_field="kind", tag="series"):
    """`steps` sliding windows of one length, each ending `step` after the one before.

    The last ends at T.
    """

    length: timedelta
    step: timedelta
    steps: int


class CalendarWindow(msgspec.Struct, frozen=True, tag_field="kind", tag="calendar"):
    """`count` periods of a zone's calendar; the last is `ago` before the one that contains T.

    Nothing at or after T is in it.
    """

    unit: str
    zone: str
    count: int
    ago: int


Window = SlidingWindow | LifetimeWindow | SeriesWindow | CalendarWindow


class ZoneSpec(msgspec.Struct, frozen=True):
    """A time zone as it was known when the manifest was compiled.

    `offsets` are the instants from which each offset from UTC applies, in order.
    """

    name: str
    offsets: tuple[tuple[datetime, timedelta], ...]


def words(window: Window) -> str:
    """Describe a window in words."""
    match window:
        case SlidingWindow(length):
            return format_duration(length)
        case SeriesWindow(length, step, steps):
            # By default each window begins where the one before ends.
            every = f", {format_duration(step)} apart" if step != length else ""
            return f"{steps} windows of {format_duration(length)}{every}"
        case CalendarWindow(unit, zone, count, ago):
            which = (
                f"this {unit} so far"
                if not ago
                else f"{count} whole {unit}{'s' if count > 1 else ''}, {ago} ago"
            )
            return f"{which} ({zone})"
        case LifetimeWindow():
            return "everything since the view's start"
        case never:
            assert_never(never)
