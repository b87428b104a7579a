"""Computes one interval in a process that is killed on the way, or is not; what it leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import duckdb

from connectors.duckdb.warehouse import DuckDBWarehouse, connect
from controlplane.base.types import Interval
from controlplane.materialize.run import materialize
from controlplane.release.program import from_json
from tests.engine.engines import raw
from tests.engine.rig import records


class Fuse:
    """A connection to DuckDB that counts statements.

    The process dies before statement number `last`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, last: int) -> None:
        self._connection = connection
        self._last = last
        self.seen: list[str] = []

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run one statement, or die instead."""
        if len(self.seen) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(sql)
        return self._connection.execute(sql)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def compute(path: str, program: str, sql: dict[str, str], span: Interval, last: int) -> list[str]:
    """Materialize `span` in the warehouse at `path`, and die before statement `last`.

    The statements that ran.
    """
    plain = connect(path=path)
    fuse = Fuse(raw(plain), last)
    materialize(from_json(program), sql, DuckDBWarehouse(fuse, path), span)  # type: ignore[arg-type]
    plain.close()
    return fuse.seen


def tables(path: str, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The tables' rows without what names runs; names of stages that are still there."""
    warehouse = connect(path=path)
    other = {
        "version",
        "recorded_from",
        "recorded_to",
        "run_id",
        "published_at",
        "earlier_frontier",
    }
    try:
        found = {
            name: [
                {key: value for key, value in row.items() if key not in other}
                for row in records(warehouse, f"SELECT * FROM {name} ORDER BY ALL")
            ]
            for name in names
        }
        listing = (
            "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'stage__%'"
            " ORDER BY 1"
        )
        return found | {"stages": records(warehouse, listing)}
    finally:
        warehouse.close()
