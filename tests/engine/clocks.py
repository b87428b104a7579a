"""Local clocks and seconds since 1970 as times of a source, in the SQL of each warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from controlplane import Aggregate, BatchFeatureView, BatchSource, Entity, batch_feature_view
from controlplane.base.ports import Warehouse
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
COLUMNS = {"local_ts": "TIMESTAMP", "seconds": "BIGINT"}
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
            "local_ts": datetime.fromisoformat(local),
            "seconds": int(datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp()),
        }
        for local, instant in LOCAL.items()
    ]
    local, seconds = {name.lower(): pair for name, pair in EXPRESSIONS.items()}[warehouse.dialect]
    rig = Rig(_view(local, seconds), COLUMNS, warehouse=warehouse, rows=rows)
    rig.materialize(START, END)
    found = sorted((row["k"], row["valid_from"], row["count_1h"]) for row in rig.table())
    changes = [(micros(f"2013-03-{at}"), count) for at, count in CHANGES]
    assert found == [(clock, *change) for clock in ("local", "seconds") for change in changes]


def _view(local: str, seconds: str) -> BatchFeatureView:
    """A view of both clocks, so that one run computes both: each is a slow one on Spark."""
    by_local, by_seconds = (
        BatchSource(name, table="raw.events", timestamp=expression, prune_by=raw)
        for name, expression, raw in (
            ("by_local", local, "local_ts"),
            ("by_seconds", seconds, "seconds"),
        )
    )

    @batch_feature_view(
        entities=[THING],
        sources=[by_local, by_seconds],
        features=[Aggregate("count", windows=["1h"])],
        schedule="1h",
        start="2013-03-10T05:00",
        owner="team",
    )
    def subject(by_local: str, by_seconds: str) -> str:
        return f"""
            SELECT 'local' AS k, source_time FROM {by_local}
            UNION ALL
            SELECT 'seconds', source_time FROM {by_seconds}
        """

    return subject
