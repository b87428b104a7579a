"""Views over a table of five columns whose SQL a test gives, and rows for the table."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from controlplane import Aggregate, BatchFeatureView, BatchSource, Entity, batch_feature_view
from tests.engine.rig import micros, naive

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "o": "BIGINT", "ts": "TIMESTAMP", "amt": "BIGINT", "word": "VARCHAR"}
THING = Entity("thing", keys={"k": "string"}, owner="team")
EVENTS = BatchSource("events", table="raw.events", timestamp="ts")
TOTAL = Aggregate("sum", "amt", windows=["24h", "3h"])


def view_of(
    sql: str, *sources: BatchSource, features: Sequence[Any] = (TOTAL,), **rest: Any
) -> BatchFeatureView:
    """A view whose SQL names its sources in braces."""
    names = [source.name for source in sources or (EVENTS,)]
    parameters = ", ".join(names)
    space: dict[str, Any] = {"text": sql}
    exec(
        f"def subject({parameters}):\n    return"
        f" text.format({', '.join(f'{n}={n}' for n in names)})",
        space,
    )
    declare = batch_feature_view(
        entities=[THING],
        sources=sources or [EVENTS],
        features=features,
        schedule="1h",
        start="2024-01-01",
        owner="team",
        **rest,
    )
    return declare(space["subject"])


def rows_of(count: int) -> list[dict[str, Any]]:
    choice = random.Random(7)
    return [
        {
            "k": choice.choice("ab"),
            "o": choice.randrange(12),
            "ts": naive(START + choice.randrange(-2 * HOUR, 10 * HOUR)),
            "amt": choice.randrange(50),
            "word": choice.choice(["x", "y", None]),
        }
        for _ in range(count)
    ]


LATE = BatchSource("late", table="raw.events", timestamp="ts", lookback="2h")
EVER = BatchSource("ever", table="raw.events", timestamp="ts", lookback="unbounded")


EMPTY = view_of("SELECT k, ts, amt FROM {events}")
