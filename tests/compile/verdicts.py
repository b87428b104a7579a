"""What the compiler says of a view's SQL over a few sources, on each dialect."""

from __future__ import annotations

import sqlglot

from controlplane.compile.changeable import changeable
from controlplane.compile.evaluation import analyse
from controlplane.compile.lineage import Source, own_time
from controlplane.compile.transformation import query

DIALECTS = ("duckdb", "snowflake", "databricks")
SOURCES = {
    "events": Source(["k", "ts", "b", "s", "payload", "items"], "ts"),
    "other": Source(["k", "ts", "v"], "ts"),
    "dims": Source(["k", "ts", "name", "v"]),
    "local": Source(
        ["k", "day", "clock", "source_time"], "source_time", sqlglot.parse_one("day + clock")
    ),
}


def verdict(sql: str, dialect: str) -> str:
    """How a view with this SQL is computed: `row`, `interval`, or why it is refused: `time`,
    `clock` or `reads`."""
    if changeable(sql, dialect):
        return "clock"
    analysis = analyse(sql, query(sql, dialect), dialect, SOURCES)
    if analysis.refused:
        return "reads"
    if not own_time(analysis.columns.get("ts", frozenset()), SOURCES):
        return "time"
    return "row" if analysis.construct is None else "interval"
