"""One session on a SQL warehouse: statements, rows, columns, and stopping what runs."""

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
"""At most so much of a result comes in one answer."""
DESCRIBED_TOGETHER = 20
"""Queries in one; all are asked alone where one is wrong."""
LONGEST_TAG = 128
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH|FROM|VALUES|TABLE)\b", re.IGNORECASE | re.DOTALL
)
_LEXEME = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\n]*|/\*.*?\*/|[()]""", re.DOTALL
)


@dataclass(eq=False)
class _Work:
    """What runs now: the statement by its name, its cursor, and whether it was asked to stop."""

    doing: str
    cursor: Cursor | None = None
    cancelled: bool = False


class DatabricksWarehouse:
    """Implements `controlplane.base.ports.Warehouse` over one session, which is opened anew where
    it has expired."""

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
        first error stops them, and what ran before it stays. Each must bear being run twice.
        """
        counts: list[int] = []
        with self._working("") as work:
            for statement in statements:
                work.doing = statement.name
                with self._ran(work, statement.sql, tag) as cursor:
                    counts.append(cursor.rowcount)
        return counts

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """See `Warehouse.fetch`.

        The protocol tells how many rows each part of a result holds and where it begins, and that
        is checked. It does not tell how many rows there are in all.
        """
        with self._working("reading") as work, self._ran(work, sql, tag) as cursor:
            while (table := cursor.fetchmany_arrow(BATCH_ROWS)).num_rows:
                yield from (batch for batch in canonical_rows(table).to_batches() if batch.num_rows)
                _go_on(work)
            check_last_part(cursor)

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """See `Warehouse.columns`."""
        found: dict[str, Mapping[str, str] | None] = {}
        for table, columns in zip(
            tables, self._described([f"SELECT * FROM {t}" for t in tables]), strict=True
        ):
            if isinstance(columns, PermanentError) and not isinstance(columns, Absent):
                raise PermanentError(
                    f"reading the columns of {table}: {columns.message}", hint=columns.hint
                )
            found[table] = None if isinstance(columns, Absent) else columns
        return found

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""
        return self._described(queries)

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """See `Warehouse.explain`: Spark tells rows and bytes where statistics were computed, bytes
        alone elsewhere."""
        # EXPLAIN of a wrong query succeeds, and says so in its text.
        checked = zip(queries, self._described(queries), strict=True)
        return [
            said if isinstance(said, PermanentError) else self._explained(query)
            for query, said in checked
        ]

    def info(self) -> Mapping[str, str]:
        """See `Warehouse.info`."""
        about = "current_user() AS user, current_catalog() AS catalog"
        databricks = (
            "SELECT current_version().dbsql_version AS sql, current_version().dbr_version AS"
            " runtime"
        )
        with self._working("asking for the version") as work:
            try:
                row = self._rows(work, f"{databricks}, {about}")[0]
                product = (
                    f"Databricks SQL {row['sql']}"
                    if row["sql"]
                    else f"Databricks Runtime {row['runtime']}"
                )
            except driver.ServerOperationError:
                # A Spark that is no Databricks has no current_version.
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

        The statement ends a moment later, when the warehouse has heard of it.
        """
        for work in list(self._running):
            work.cancelled = True
            # Not in this thread: a signal handler may have interrupted it in the middle of a
            # request.
            threading.Thread(target=self._cancel, args=(work,), daemon=True).start()

    def close(self) -> None:
        """See `Warehouse.close`."""
        with suppress(*BROKEN):
            self._connection.close()

    def _cancel(self, work: _Work) -> None:
        while work in self._running:
            # The driver learns a statement's id from the first answer.
            if work.cursor is not None and work.cursor.active_command_id is not None:
                with suppress(*BROKEN):
                    work.cursor.cancel()
                return
            time.sleep(0.05)

    @contextmanager
    def _working(self, doing: str) -> Iterator[_Work]:
        """Raise a driver's error as one of ours."""
        work = _Work(doing)
        self._running.append(work)
        try:
            yield work
        except Exception as error:
            if work.cancelled and not isinstance(error, PlaneError):
                raise cancelled(work.doing) from None
            if is_drivers_own(error):
                raise translated(error, work.doing) from None
            raise
        finally:
            self._running.remove(work)

    @contextmanager
    def _ran(self, work: _Work, sql: str, tag: str) -> Iterator[Cursor]:
        """A cursor that has run `sql`.

        In a new session where the old one has expired, in which nothing ran then.
        """
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
        _go_on(work)
        cursor = self._connection.cursor(arraysize=BATCH_ROWS, buffer_size_bytes=BUFFER_BYTES)
        work.cursor = cursor
        try:
            cursor.execute(
                sql, query_tags=shown_tags({**self._tags, "work": tag, "statement": work.doing})
            )
        except BaseException as error:
            # Ctrl-C or Airflow's timeout has interrupted the wait: there it would go on.
            if not isinstance(error, Exception) and cursor.active_command_id is not None:
                with suppress(*BROKEN):
                    cursor.cancel()
            raise
        # The driver takes a statement that was cancelled or timed out on the server for one that
        # succeeded.
        status = cursor.active_result_set.status if cursor.active_result_set else None
        if status is CommandState.CANCELLED:
            raise cancelled(work.doing)
        if status is CommandState.FAILED:
            raise timed_out(work.doing)
        return cursor

    def _rows(self, work: _Work, sql: str) -> list[dict[str, Any]]:
        with self._ran(work, sql, "") as cursor:
            rows: list[dict[str, Any]] = cursor.fetchall_arrow().to_pylist()
        return rows

    def _described(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """Each query's columns, or what is wrong with it."""
        found: list[Mapping[str, str] | PermanentError] = []
        for start in range(0, len(queries), DESCRIBED_TOGETHER):
            some = queries[start : start + DESCRIBED_TOGETHER]
            found += self._described_together(some) or [
                self._described_alone(query) for query in some
            ]
        return found

    def _described_together(
        self, queries: Sequence[str]
    ) -> list[Mapping[str, str] | PermanentError]:
        """The columns of all queries as those of one, with a mark behind each query's.

        Empty if one can't be so.
        """
        if len(queries) == 1 or not all(
            _QUERY.match(query) and _is_closed(query) for query in queries
        ):
            return []
        marks = [f"plane__end_{i}" for i in range(len(queries))]
        wanted = ", ".join(f"query_{i}.*, 0 AS {mark}" for i, mark in enumerate(marks))
        sources = " CROSS JOIN ".join(
            f"({query}\n) AS query_{i}" for i, query in enumerate(queries)
        )
        try:
            with self._working("") as work:
                rows = self._rows(work, f"DESCRIBE QUERY SELECT {wanted} FROM {sources}")
        except PermanentError:
            return []
        found: list[Mapping[str, str] | PermanentError] = []
        columns: list[tuple[str, str]] = []
        for row in rows:
            if row["col_name"] != marks[len(found)]:
                columns.append((row["col_name"], row["data_type"]))
                continue
            try:
                found.append(_columns(columns))
            except PermanentError as error:
                found.append(error)
            columns = []
        return found

    def _explained(self, query: str) -> Estimate:
        with self._working("") as work:
            [row] = self._rows(work, f"EXPLAIN COST {query}")
        return estimated(row["plan"])

    def _described_alone(self, query: str) -> Mapping[str, str] | PermanentError:
        # Only a query can stand behind DESCRIBE QUERY, except a lone name: that would be a column
        # of a table.
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
    return Columns((name, canonical_type(kind)) for name, kind in described)


def shown_tags(tags: Mapping[str, str]) -> dict[str, str | None]:
    """Tags that say something, each as long as may be."""
    return {name: value[:LONGEST_TAG] for name, value in tags.items() if value}


def _go_on(work: _Work) -> None:
    if work.cancelled:
        raise cancelled(work.doing)


def _is_closed(query: str) -> bool:
    """Whether no parenthesis of a query closes one that it didn't open."""
    depth = 0
    for lexeme in _LEXEME.findall(query):
        depth += {"(": 1, ")": -1}.get(lexeme, 0)
        if depth < 0:
            return False
    return depth == 0
