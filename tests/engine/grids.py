"""Durations, the grids of intervals that random views have, and zones whose days fit them."""

from __future__ import annotations

from tests.engine.rig import micros

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
GRIDS = (  # schedule, and the tiles that divide it
    (5 * MINUTE, (MINUTE, 5 * MINUTE)),
    (HOUR, (HOUR, 10 * MINUTE, 30 * MINUTE)),
    (6 * HOUR, (6 * HOUR, 2 * HOUR)),
    (DAY, (DAY, HOUR, 12 * HOUR)),
    (7 * DAY, (7 * DAY, DAY)),
)
ZONES = {  # the finest grid that meets the beginnings of a zone's days
    "UTC": DAY,
    "America/New_York": HOUR,
    "Europe/Berlin": HOUR,
    "Asia/Kolkata": 30 * MINUTE,
    "America/Sao_Paulo": HOUR,
    "Pacific/Apia": HOUR,
}
ORIGINS = (  # Thursdays, where weekly grids begin; some where clocks are changed, or a day is left out
    *[micros("2024-01-04"), micros("1969-12-25")] * 2,
    *[
        micros("2024-03-07"),
        micros("2024-10-31"),
        micros("2024-03-28"),
        micros("2018-11-01"),
        micros("2011-12-29"),
    ],
)


def text(duration: int) -> str:
    """A duration as a definition says it."""
    return f"-{-duration}us" if duration < 0 else f"{duration}us"


def shortest(duration: int) -> str:
    """The product's own spelling of a duration of whole minutes."""
    parts = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"))
    found = ""
    for size, unit in parts:
        found += f"{duration // size}{unit}" if duration // size else ""
        duration %= size
    return found
