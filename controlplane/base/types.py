"""Value types and time, as all rooms use them. No I/O, no clock.

Timestamps are aware `datetime` in UTC with microseconds; a naive `datetime` is taken as UTC.
Durations are `timedelta`. All intervals are half-open `[start, end)` and every grid is aligned to
the Unix epoch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""The instants between which readers know every time: those of Python's `datetime`."""
Tasks = Literal["steps", "view"]
"""The tasks of a view's run in Airflow: one for each step, or one that does all steps."""
MICROSECOND = timedelta(microseconds=1)
# Without weeks, which `parse_duration` also reads: a duration is written in one way only.
_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
# Stricter than `datetime.fromisoformat`: that also takes 20130101, 2013-W01-2 and any letter before
# the time, and it silently drops the digits after microseconds.
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET = "Z|[+-][0-9]{2}:[0-9]{2}"
_IS_DATE = re.compile(_DATE).fullmatch
_IS_INSTANT = re.compile(
    rf"{_DATE}([T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?({_OFFSET})?)?"
).fullmatch
_DURATION = re.compile(r"(\d+)(us|ms|s|m|h|d|w)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


LONGEST_DURATION = timedelta(days=36_500)
"""A hundred years: an instant plus or minus this must stay inside the range of all warehouses."""


class InvalidValue(ValueError):
    """A text is not a value of the expected form.

    Args:
        problem: what is wrong; it quotes the text.
        remedy: what to write instead.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


def is_whole(value: object, low: int, high: float = math.inf) -> bool:
    """Tell whether `value` is a whole number from `low` to `high`; bools are not numbers."""
    # Not `isinstance`: for Python, True is an int.
    return type(value) is int and low <= value <= high


@lru_cache(maxsize=1000)
def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `1h` or `1d12h`; the units are us, ms, s, m, h, d and w.

    Raises:
        InvalidValue: `text` is not a duration, or a longer one than `LONGEST_DURATION`.
    """
    compact = text.replace(" ", "")
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise InvalidValue(
            f"{text!r} is not a duration",
            "write a number and a unit, such as 30m, 1h, 7d or 1d12h",
        )
    units = {**_UNITS, "w": 7 * _UNITS["d"]}
    micros = sum(int(number) * units[unit] for number, unit in parts)
    if micros > LONGEST_DURATION // MICROSECOND:
        raise InvalidValue(
            f"{text!r} is too long", f"give at most {format_duration(LONGEST_DURATION)}"
        )
    return timedelta(microseconds=micros)


@lru_cache(maxsize=1000)
def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back: `1h30m` for 90 minutes.

    Zero is `0s`, a negative duration begins with `-`.
    """
    rest = duration // MICROSECOND
    if rest < 0:
        return "-" + format_duration(-duration)
    text = ""
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


@lru_cache(maxsize=1000)
def parse_instant(text: str) -> datetime:
    """Parse an instant in ISO 8601; without an offset it is UTC.

    A date such as `2013-01-01`, or a date and a time such as `2013-01-01T06:00`. Seconds, up to six
    digits of a second, and `Z` or an offset such as `+02:00` are optional.

    Raises:
        InvalidValue: `text` has another form, or names no existing date or time.
    """
    try:
        if not _IS_INSTANT(text):
            raise ValueError
        return utc(datetime.fromisoformat(text))
    except OverflowError:
        raise InvalidValue(
            f"{text!r} is out of range", "write a time between 0001-01-01 and 9999-12-31 in UTC"
        ) from None
    except ValueError:
        raise InvalidValue(
            f"{text!r} is not a time", "write 2013-01-01 or 2013-01-01T06:00:00Z"
        ) from None


def parse_date(text: str) -> date:
    """Parse a date such as `2013-01-31`.

    Raises:
        ValueError: `text` has another form, or names no existing date.
    """
    if not _IS_DATE(text):
        raise InvalidValue(f"{text!r} is not a date", "write 2013-01-31")
    return date.fromisoformat(text)


@lru_cache(maxsize=1000)
def format_instant(instant: datetime) -> str:
    """Format an instant in UTC, such as `2013-01-01T06:00:00Z`; a zero fraction is left out."""
    return utc(instant).isoformat().replace("+00:00", "Z")


def utc(instant: datetime) -> datetime:
    """Convert an instant to UTC; a naive one is taken as UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def micros(instant: datetime) -> int:
    """Return the microseconds since the Unix epoch."""
    return (utc(instant) - EPOCH) // MICROSECOND


def from_micros(count: int) -> datetime:
    """Return the instant `count` microseconds after the Unix epoch."""
    return EPOCH + count * MICROSECOND


def floor(instant: datetime, step: timedelta, phase: timedelta = timedelta(0)) -> datetime:
    """Return the last grid point of `step` at or before `instant`.

    The grid begins `phase` after the epoch.
    """
    origin = EPOCH + phase
    # `//` rounds down, also before the epoch.
    return origin + (utc(instant) - origin) // step * step


def ceil(instant: datetime, step: timedelta, phase: timedelta = timedelta(0)) -> datetime:
    """Return the first grid point of `step` at or after `instant`.

    The grid begins `phase` after the epoch.
    """
    origin = EPOCH + phase
    # Twice the sign, because `//` rounds down: rounded up.
    return origin - (origin - utc(instant)) // step * step


@dataclass(frozen=True, order=True)
class Interval:
    """A half-open range of time `[start, end)`, in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError(f"an interval must end after it starts: {self}")

    def __str__(self) -> str:
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"

    def count(self, step: timedelta) -> int:
        """Count the whole intervals of `step` that it holds."""
        return (self.end - self.start) // step

    def split(self, longest: timedelta) -> Iterator[Interval]:
        """Split it into pieces of at most `longest`, in order."""
        start = self.start
        while start < self.end:
            end = min(start + longest, self.end)
            yield Interval(start, end)
            start = end


def merge(intervals: list[Interval]) -> list[Interval]:
    """Merge overlapping and adjacent intervals; the result is in order."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return merged


def subtract(whole: Interval, parts: list[Interval]) -> list[Interval]:
    """Return the parts of `whole` that no interval of `parts` covers, in order."""
    gaps: list[Interval] = []
    start = whole.start
    for part in merge(parts):
        if part.start >= whole.end:
            break
        if part.start > start:
            gaps.append(Interval(start, part.start))
        start = max(start, part.end)
    if start < whole.end:
        gaps.append(Interval(start, whole.end))
    return gaps


SCALARS = ("bool", "int64", "float64", "string", "binary", "date", "timestamp")
_DECIMAL = re.compile(r"decimal\((\d{1,2}), ?(\d{1,2})\)")
_ARRAY = re.compile(r"array<(.+)>")


def parse_type(text: str) -> str:
    """Return the canonical spelling of a value type: a scalar, `decimal(p,s)` or `array<type>`.

    Raises:
        InvalidValue: there is no such type; the remedy lists the types.
    """
    name = text.strip().lower()
    if name in SCALARS:
        return name
    if decimal := _DECIMAL.fullmatch(name):
        precision, scale = int(decimal[1]), int(decimal[2])
        # 38 digits: the most that a decimal has in any of the supported warehouses.
        if 1 <= precision <= 38 and scale <= precision:
            return f"decimal({precision},{scale})"
    if array := _ARRAY.fullmatch(name):
        return f"array<{parse_type(array[1])}>"
    raise InvalidValue(
        f"{text!r} is not a type", f"choose from {', '.join(SCALARS)}, decimal(p,s), array<type>"
    )


def is_list(name: str) -> bool:
    """Tell whether a canonical type is a list."""
    return name.startswith("array<")


def item_type(name: str) -> str:
    """Return the type of a list's items: `array<string>` holds `string`.

    Args:
        name: a canonical type for which `is_list` holds.
    """
    return name.removeprefix("array<").removesuffix(">")


def is_decimal(name: str) -> bool:
    """Tell whether a canonical type is a decimal."""
    return name.startswith("decimal(")


def decimal_precision(name: str) -> int:
    """Return the precision of a canonical decimal type: the number of all its digits."""
    return int(name.removeprefix("decimal(").partition(",")[0])


def decimal_scale(name: str) -> int:
    """Return the scale of a canonical decimal type: the number of digits after the point."""
    return int(name.removesuffix(")").split(",")[1])


def ascii_json(text: str) -> str:
    """Escape all non-ASCII characters of a JSON text, for outputs of any encoding.

    Outside its strings JSON is ASCII. A character beyond 16 bits becomes two escapes.
    """
    return _NOT_ASCII.sub(lambda characters: json.dumps(characters[0])[1:-1], text)
