"""Local clocks and seconds since 1970 as times of a source, in the SQL of each warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from controlplane import Aggregate, BatchFeatureView, BatchSource, Entity, batch_feature_view
from controlplane.ports import Warehouse
from tests.engine.rig import Rig, micros

EXPRESSIONS: Mapping[str, tuple[str, str]] = {
    "DuckDB": ("local_ts AT TIME ZONE 'America/New_York'", "to_timestamp(seconds)"),
    "Snowflake": (
        "CONVERT_TIMEZONE('America/New_York', 'UTC', local_ts)",
        "TO_TIMESTAMP_NTZ(seconds, 0)",
    ),
    "Databricks": (
        "convert_timezone('America/New_York', 'UTC', local_ts)",
        "timestamp_seconds(seconds)",
    ),
}
"""By warehouse: the UTC time of a local clock, and of a number of seconds."""
COLUMNS = {"k": "VARCHAR", "local_ts": "TIMESTAMP", "seconds": "BIGINT"}
LOCAL = {
    "2013-03-10 01:45": "2013-03-10 06:45",
    "2013-03-10 02:30": "2013-03-10 07:30",  # left out by the clocks: it is counted on from 02:00
    "2013-03-10 03:15": "2013-03-10 07:15",
    "2013-03-10 23:59": "2013-03-11 03:59",
}
"""Times by the clocks of New York on the day they went forward, and what they are in UTC."""
CHANGES = [("10T07:00", 1), ("10T08:00", 2), ("10T09:00", 0), ("11T04:00", 1), ("11T05:00", 0)]
"""When the count of the last hour changes, and to what: an event shows at its hour's end."""
START, END = micros("2013-03-10T05:00"), micros("2013-03-11T05:00")
THING = Entity("thing", keys={"k": "string"}, owner="team")


def compare(warehouse: Warehouse) -> None:
    """Compute the count of the last hour by both clocks and compare it with `CHANGES`."""
    rows = [
        {
            "k": "a",
            "local_ts": datetime.fromisoformat(local),
            "seconds": int(datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp()),
        }
        for local, instant in LOCAL.items()
    ]
    spelled = {name.lower(): pair for name, pair in EXPRESSIONS.items()}[warehouse.dialect]
    for expression, raw in zip(spelled, ("local_ts", "seconds"), strict=True):
        rig = Rig(_view(expression, raw), COLUMNS, warehouse=warehouse)
        rig.replace(rows)
        rig.materialize(START, END)
        found = [(row["valid_from"], row["count_1h"]) for row in rig.table()]
        expected = [(micros(f"2013-03-{at}"), count) for at, count in CHANGES]
        assert sorted(found) == expected, raw


def _view(expression: str, raw: str) -> BatchFeatureView:
    events = BatchSource("events", table="raw.events", timestamp=expression, prune_by=raw)

    @batch_feature_view(
        entities=[THING],
        sources=[events],
        features=[Aggregate("count", windows=["1h"])],
        schedule="1h",
        start="2013-03-10T05:00",
        owner="team",
    )
    def subject(events: str) -> str:
        return f"SELECT k, source_time FROM {events}"

    return subject
