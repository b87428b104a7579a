"""Databricks: statements and rows through one session on a SQL warehouse."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from databricks import sql as driver
from databricks.sql.backend.types import CommandState
from databricks.sql.client import Connection, Cursor

from connectors.databricks.errors import (
    BROKEN,
    Absent,
    cancelled,
    has_expired,
    is_drivers_own,
    timed_out,
    translated,
)
from connectors.databricks.plans import estimated
from connectors.databricks.values import canonical_rows, canonical_type, check_last_part
from controlplane.base.ports import Columns, Estimate, Statement, check_names
from controlplane.errors import PermanentError, PlaneError

BATCH_ROWS = 65_536
BUFFER_BYTES = 32 * 1024 * 1024
"""The most bytes of a result in one response."""
DESCRIBED_TOGETHER = 20
"""Queries that are described by one statement; if one is wrong, each is described alone."""
LONGEST_TAG = 128  # characters
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH|FROM|VALUES|TABLE)\b", re.IGNORECASE | re.DOTALL
)
_LEXEME = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\n]*|/\*.*?\*/|[()]""", re.DOTALL
)


@dataclass(eq=False)
class _Work:
    """A running statement: its name, its cursor, and whether it shall stop."""

    action: str
    cursor: Cursor | None = None
    cancelled: bool = False


class DatabricksWarehouse:
    """Implements `base.ports.Warehouse` over one session; it is opened again if it has expired."""

    dialect = "databricks"

    def __init__(
        self, open_session: Callable[[], Connection], host: str, tags: Mapping[str, str]
    ) -> None:
        self._open_session = open_session
        self._host = host
        self._tags = tags
        self._running: list[_Work] = []
        with self._working(f"connecting to {host}"):
            self._connection = open_session()

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`.

        There is no transaction over several statements: `atomic` or not, they run in order, the
        first error stops them, and the effects of earlier ones stay. So each statement must be safe
        to run twice.
        """
        counts: list[int] = []
        with self._working("") as work:
            for statement in statements:
                work.action = statement.name
                with self._ran(work, statement.sql, tag) as cursor:
                    counts.append(cursor.rowcount)
                if not statement.goes_on(counts[-1]):
                    break
        return counts

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """See `Warehouse.fetch`.

        The number of rows is checked for each part of the result; the protocol has no total.
        """
        with self._working("reading") as work, self._ran(work, sql, tag) as cursor:
            while (table := cursor.fetchmany_arrow(BATCH_ROWS)).num_rows:
                yield from (batch for batch in canonical_rows(table).to_batches() if batch.num_rows)
                _check_cancelled(work)
            check_last_part(cursor)

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """See `Warehouse.columns`."""
        of_tables: dict[str, Mapping[str, str] | None] = {}
        for table, columns in zip(
            tables, self._described([f"SELECT * FROM {t}" for t in tables]), strict=True
        ):
            if isinstance(columns, PermanentError) and not isinstance(columns, Absent):
                raise PermanentError(
                    f"reading the columns of {table}: {columns.message}", hint=columns.hint
                )
            of_tables[table] = None if isinstance(columns, Absent) else columns
        return of_tables

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""
        return self._described(queries)

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """See `Warehouse.explain`: rows only where statistics were computed, bytes everywhere."""
        # Describe the queries first: EXPLAIN of a wrong query succeeds, with the error in its text.
        described = zip(queries, self._described(queries), strict=True)
        return [
            columns if isinstance(columns, PermanentError) else self._explained(query)
            for query, columns in described
        ]

    def info(self) -> Mapping[str, str]:
        """See `Warehouse.info`."""
        about = "current_user() AS user, current_catalog() AS catalog"
        databricks = (
            "SELECT current_version().dbsql_version AS sql, current_version().dbr_version AS"
            " runtime"
        )
        with self._working("reading the version") as work:
            try:
                row = self._rows(work, f"{databricks}, {about}")[0]
                product = (
                    f"Databricks SQL {row['sql']}"
                    if row["sql"]
                    else f"Databricks Runtime {row['runtime']}"
                )
            except driver.ServerOperationError:
                # Spark outside Databricks has no current_version.
                row = self._rows(work, f"SELECT version() AS version, {about}")[0]
                product = f"Spark {row['version'].split()[0]}"
        return {
            "product": product,
            "place": self._host,
            "user": row["user"],
            "catalog": row["catalog"],
        }

    def cancel(self) -> None:
        """See `Warehouse.cancel`.

        The statement ends a moment later, when the request has reached the warehouse.
        """
        for work in list(self._running):
            work.cancelled = True
            # In a new thread: a signal handler may have interrupted this one in the middle of a
            # request.
            threading.Thread(target=self._cancel, args=(work,), daemon=True).start()

    def close(self) -> None:
        """See `Warehouse.close`."""
        with suppress(*BROKEN):
            self._connection.close()

    def _cancel(self, work: _Work) -> None:
        while work in self._running:
            # The driver learns a statement's id from the first response.
            if work.cursor is not None and work.cursor.active_command_id is not None:
                with suppress(*BROKEN):
                    work.cursor.cancel()
                return
            time.sleep(0.05)

    @contextmanager
    def _working(self, action: str) -> Iterator[_Work]:
        """Translate the driver's errors, and let `cancel` stop what runs meanwhile."""
        work = _Work(action)
        self._running.append(work)
        try:
            yield work
        except Exception as error:
            if work.cancelled and not isinstance(error, PlaneError):
                raise cancelled(work.action) from None
            if is_drivers_own(error):
                raise translated(error, work.action) from None
            raise
        finally:
            self._running.remove(work)

    @contextmanager
    def _ran(self, work: _Work, sql: str, tag: str) -> Iterator[Cursor]:
        """Run `sql`; if the session has expired, which then ran nothing, run it in a new one."""
        try:
            cursor = self._submitted(work, sql, tag)
        except driver.Error as error:
            if not has_expired(error):
                raise
            self.close()
            self._connection = self._open_session()
            cursor = self._submitted(work, sql, tag)
        try:
            yield cursor
        finally:
            with suppress(*BROKEN):
                cursor.close()

    def _submitted(self, work: _Work, sql: str, tag: str) -> Cursor:
        _check_cancelled(work)
        cursor = self._connection.cursor(arraysize=BATCH_ROWS, buffer_size_bytes=BUFFER_BYTES)
        work.cursor = cursor
        try:
            cursor.execute(
                sql, query_tags=shown_tags({**self._tags, "work": tag, "statement": work.action})
            )
        except BaseException as error:
            # Ctrl-C or Airflow's timeout ended the wait; without this the server would continue.
            if not isinstance(error, Exception) and cursor.active_command_id is not None:
                with suppress(*BROKEN):
                    cursor.cancel()
            raise
        # The driver reports success for a statement that was cancelled or timed out on the server.
        status = cursor.active_result_set.status if cursor.active_result_set else None
        if status is CommandState.CANCELLED:
            raise cancelled(work.action)
        if status is CommandState.FAILED:
            raise timed_out(work.action)
        return cursor

    def _rows(self, work: _Work, sql: str) -> list[dict[str, Any]]:
        with self._ran(work, sql, "") as cursor:
            rows: list[dict[str, Any]] = cursor.fetchall_arrow().to_pylist()
        return rows

    def _described(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """Return the columns of each query, or its error."""
        described: list[Mapping[str, str] | PermanentError] = []
        for start in range(0, len(queries), DESCRIBED_TOGETHER):
            group = queries[start : start + DESCRIBED_TOGETHER]
            described += self._described_together(group) or [
                self._described_alone(query) for query in group
            ]
        return described

    def _described_together(
        self, queries: Sequence[str]
    ) -> list[Mapping[str, str] | PermanentError]:
        """Return the columns of all queries with one statement; empty if it fails.

        The statement describes a query over all of them, with a marker column after each.
        """
        if len(queries) == 1 or not all(
            _QUERY.match(query) and _is_closed(query) for query in queries
        ):
            return []
        marks = [f"plane__end_{i}" for i in range(len(queries))]
        selected = ", ".join(f"query_{i}.*, 0 AS {mark}" for i, mark in enumerate(marks))
        sources = " CROSS JOIN ".join(
            f"({query}\n) AS query_{i}" for i, query in enumerate(queries)
        )
        try:
            with self._working("") as work:
                rows = self._rows(work, f"DESCRIBE QUERY SELECT {selected} FROM {sources}")
        except PermanentError:
            return []
        described: list[Mapping[str, str] | PermanentError] = []
        columns: list[tuple[str, str]] = []
        for row in rows:
            if row["col_name"] != marks[len(described)]:
                columns.append((row["col_name"], row["data_type"]))
                continue
            try:
                described.append(_columns(columns))
            except PermanentError as error:
                described.append(error)
            columns = []
        return described

    def _explained(self, query: str) -> Estimate:
        with self._working("") as work:
            [row] = self._rows(work, f"EXPLAIN COST {query}")
        return estimated(row["plan"])

    def _described_alone(self, query: str) -> Mapping[str, str] | PermanentError:
        # DESCRIBE QUERY refuses everything but a query, except a single name, which it takes for a
        # table.
        if not _QUERY.match(query):
            return PermanentError("it must be exactly one query")
        try:
            with self._working("") as work:
                rows = self._rows(work, f"DESCRIBE QUERY {query}")
            return _columns([(row["col_name"], row["data_type"]) for row in rows])
        except PermanentError as error:
            return error


def _columns(described: Sequence[tuple[str, str]]) -> Columns:
    check_names(name for name, _ in described)
    return Columns((name, canonical_type(type_name)) for name, type_name in described)


def shown_tags(tags: Mapping[str, str]) -> dict[str, str | None]:
    """Return the tags that are not empty, each cut to the longest that Databricks takes."""
    return {name: value[:LONGEST_TAG] for name, value in tags.items() if value}


def _check_cancelled(work: _Work) -> None:
    if work.cancelled:
        raise cancelled(work.action)


def _is_closed(query: str) -> bool:
    """Return whether a query stays one expression when it is put in parentheses."""
    depth = 0
    for lexeme in _LEXEME.findall(query):
        depth += {"(": 1, ")": -1}.get(lexeme, 0)
        if depth < 0:
            return False
    return depth == 0
