"""What the statements of a run read of each table: the rows that their conditions let through.

DuckDB's profiler counts them. It looks at whole groups of 122,880 rows for that, and prunes them
with bounds that it infers from joins while it runs. A warehouse promises less: it skips the files
that a literal range excludes. `LITERALS_ONLY` takes the inferred bounds away.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb

LITERALS_ONLY = "SET disabled_optimizers = 'join_filter_pushdown,statistics_propagation'"
_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "USE", "SET", "RESET")


class Scan(NamedTuple):
    """The scan of a table: its rows, and their bytes; `given_up` if it ended after the first."""

    part: str
    rows: int
    bytes: int
    looked_at: int
    given_up: bool


@dataclass
class Reads:
    """The rows that statements read, by statement and table."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0

    def add(self, statement: str, scans: Sequence[Scan]) -> None:
        """Count the scans of a statement; one that was given up read nothing to speak of."""
        for scan in scans:
            if not scan.given_up:
                self.rows[statement, scan.part] += scan.rows
                self.bytes[scan.part] += scan.bytes
                self.looked_at += scan.looked_at

    def of(self, *parts: str) -> int:
        """The rows of some tables; of all without a name."""
        return sum(rows for (_, part), rows in self.rows.items() if not parts or part in parts)


class Profiler:
    """A connection to DuckDB that counts what each statement reads.

    Args:
        connection: the connection.
        reads: where it is counted.
        statement: returns the name of the statement that runs.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, reads: Reads, statement: Callable[[], str]
    ) -> None:
        self._connection = connection
        self._reads = reads
        self._statement = statement
        connection.execute("SET profiling_coverage = 'ALL'")

    def execute(self, sql: str, *parameters: Any) -> Any:
        """Run a statement to its end, and count what it read."""
        if sql.split(None, 1)[0].upper() in _CONTROL:
            return self._connection.execute(sql, *parameters)
        self._connection.execute("SET enable_profiling = 'no_output'")
        try:
            self._connection.execute(sql, *parameters)
            columns = self._connection.description is not None
            rows = self._connection.fetchall() if columns else []
            # The endpoint looks for rows that a MERGE would change twice: Snowflake's own work.
            if ".rowid HAVING" not in sql:
                self._count()
        finally:
            self._connection.execute("RESET enable_profiling")
        return _Result(rows)

    def sql(self, sql: str) -> Any:
        """See `duckdb.DuckDBPyConnection.sql`."""
        return _Relation(self._connection.sql(sql), self)

    def measured(self, work: Callable[[], Any]) -> Any:
        """Read the rows of a relation, and count what it read."""
        self._connection.execute("SET enable_profiling = 'no_output'")
        try:
            rows = work()
            self._count()
        finally:
            self._connection.execute("RESET enable_profiling")
        return rows

    def _count(self) -> None:
        profile = json.loads(self._connection.get_profiling_information("json"))
        self._reads.add(self._statement(), list(scans(profile)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Result:
    """Rows that were fetched."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchall(self) -> list[Any]:
        """The rows."""
        return self._rows


class _Relation:
    """A query whose rows are read later."""

    def __init__(self, relation: duckdb.DuckDBPyRelation, profiler: Profiler) -> None:
        self._relation = relation
        self._profiler = profiler

    def to_arrow_table(self) -> Any:
        """The rows."""
        return self._profiler.measured(self._relation.to_arrow_table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._relation, name)


def scans(profile: dict[str, Any]) -> Iterator[Scan]:
    """List the scans of tables in a profile."""
    for operator in profile.get("operator", ()):
        yield from _scans(operator, ())


def _scans(operator: dict[str, Any], above: Sequence[dict[str, Any]]) -> Iterator[Scan]:
    table = operator.get("extra_info", {}).get("Table")
    if isinstance(table, str):
        scanned = int(operator.get("intermediate_rows", 0))
        rows = min([scanned, *_conditions(operator, above)])
        size = rows * int(operator.get("intermediate_size_bytes", 0)) // max(scanned, 1)
        looked_at = int(operator.get("rows_scanned", 0))
        yield Scan(part(table), rows, size, looked_at, _is_given_up(operator, above))
    for child in operator.get("children", ()):
        yield from _scans(child, (operator, *above))


def _is_given_up(scan: dict[str, Any], above: Sequence[dict[str, Any]]) -> bool:
    """Whether a scan ended after its first rows, since what they are joined with turned out to be
    empty."""
    joins = (operator for operator in above if operator["type"] in ("CROSS_PRODUCT", "HASH_JOIN"))
    nearest = next(joins, scan)
    return nearest is not scan and not nearest.get("intermediate_rows")


def _conditions(scan: dict[str, Any], above: Sequence[dict[str, Any]]) -> Iterator[int]:
    """The rows that a scan's conditions leave which stand above it: filters, and joins with what
    the statement says."""
    below = scan
    for operator in above:
        others = [child["type"] for child in operator["children"] if child is not below]
        if operator["type"] not in ("FILTER", "PROJECTION") and others != ["COLUMN_DATA_SCAN"]:
            return
        yield int(operator.get("intermediate_rows", 0))
        below = operator


def part(table: str) -> str:
    """`tiles` for `features.spending__tiles__1a2b3c4d`, `stage` for `_plane.stage__spending__1a2b`."""
    name = table.lower().rpartition(".")[2].strip('"`')
    if name.endswith("__changes"):
        return "changes"
    first, *others = name.split("__")
    return others[0] if others and first not in ("stage", "head") else first
