"""Snowflake: statements and rows through one session of the vendor's driver, versions 4 and 5.

Timestamps are `TIMESTAMP_NTZ` in UTC. Names of columns that Snowflake stores in capitals are
returned in lower case, all others unchanged.

Every statement is submitted asynchronously, and its status is polled until it ends. So its query id
is known while it runs, and it can be stopped on the server; and a request without an answer times
out soon, however long a statement may run.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa
import snowflake.connector
from snowflake.connector import errors

from connectors.snowflake.driver import described, is_one_query, query_tag
from connectors.snowflake.errors import MissingObject, login_failed, session_gone, translated
from connectors.snowflake.types import (
    canonical_type,
    column_name,
    described_type,
    normalised,
    plain_name,
)
from controlplane.base.ports import Estimate, Statement, check_names
from controlplane.errors import PermanentError, TransientError

BATCH_ROWS = 65_536
PARALLEL = 8
"""Requests about tables and queries that run at the same time."""
DESCRIBED_TOGETHER = 10
"""Tables whose columns are read by one query: each view in it makes compiling it slower."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 1.0
"""Seconds between two polls of a statement's status; they grow while it runs."""
DriverCursor: TypeAlias = Any
"""A cursor of the driver: versions 4 and 5 have classes of their own."""
Item = TypeVar("Item")
T = TypeVar("T")

# Without a handler, the driver's reports of its retries go to the terminal of an application that
# has not set up logging.
logging.getLogger("snowflake.connector").addHandler(logging.NullHandler())


class SnowflakeWarehouse:
    """Implements `base.ports.Warehouse` over one session; it is opened again if it has ended."""

    dialect = "snowflake"

    def __init__(
        self,
        options: Mapping[str, Any],
        context: Mapping[str, str],
        secrets: set[str],
        tags: Mapping[str, str],
    ) -> None:
        self._options = options
        self._context = context
        self._secrets = secrets
        self._tags = tags
        # Reentrant: a signal handler that cancels runs in the thread that it interrupts.
        self._lock = threading.RLock()
        self._running: set[str] = set()
        self._uses = 0
        self._cancelled = False
        self._connection = self._opened()

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`; each definition of a table or view commits."""
        with self._using():
            if not atomic:
                return self._all_changed(statements, tag, alone=True)
            self._run("BEGIN", "beginning", tag).close()
            try:
                counts = self._all_changed(statements, tag, alone=False)
                end = "COMMIT" if len(counts) == len(statements) else "ROLLBACK"
                self._run(end, "committing", tag, alone=False).close()
            except BaseException:
                self._roll_back(tag)
                raise
            return counts

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """See `Warehouse.fetch`."""
        with self._using():
            cursor = self._run(sql, "reading", tag)
            try:
                yield from self._rows(cursor)
            finally:
                cursor.close()

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """See `Warehouse.columns`."""
        groups = [
            tables[at : at + DESCRIBED_TOGETHER] for at in range(0, len(tables), DESCRIBED_TOGETHER)
        ]
        answers = self._in_parallel(self._columns_together, groups)
        return {table: columns for answer in answers for table, columns in answer.items()}

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""

        def alone(query: str) -> Mapping[str, str] | PermanentError:
            try:
                return self._describe(query)
            except PermanentError as error:
                return error

        return self._in_parallel(alone, queries)

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """See `Warehouse.explain`: only bytes, those of the partitions that are not pruned."""
        return self._in_parallel(self._explained, queries)

    def info(self) -> Mapping[str, str]:
        """See `Warehouse.info`."""
        names = ("version", "account", "user", "role", "warehouse", "database")
        with self._using():
            functions = ", ".join(f"CURRENT_{name.upper()}()" for name in names)
            [row] = self._answer(f"SELECT {functions}", "reading the session")
            session = {name: str(value or "") for name, value in zip(names, row, strict=True)}
            state = self._state(session["warehouse"])
        address = f"{session.pop('account')} at {self._connection.host}"
        product = f"Snowflake {session.pop('version')}"
        return {"product": product, "place": address, **session, **state}

    def cancel(self) -> None:
        """See `Warehouse.cancel`."""
        with self._lock:
            running = list(self._running)
            self._cancelled = self._uses > 0
        for query_id in running:
            self._abort(query_id)

    def close(self) -> None:
        """See `Warehouse.close`."""
        self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Count the uses of the session: `cancel` stops only what is in use."""
        with self._lock:
            self._uses += 1
        try:
            yield
        finally:
            with self._lock:
                self._uses -= 1
                self._cancelled = self._cancelled and self._uses > 0

    def _state(self, warehouse: str) -> Mapping[str, str]:
        """Return whether a warehouse runs and resumes by itself; empty if the role can't see it."""
        cursor = self._run("SHOW WAREHOUSES", "reading the state of the warehouse")
        names = [column.name for column in cursor.description or ()]
        with self._translating("reading the state of the warehouse"):
            shown = {
                row[names.index("name")]: dict(zip(names, row, strict=True))
                for row in cursor.fetchall()
            }
        if warehouse not in shown:
            return {}
        columns = shown[warehouse]
        return {"state": str(columns["state"]), "resumes": str(columns["auto_resume"])}

    def _all_changed(self, statements: Sequence[Statement], tag: str, *, alone: bool) -> list[int]:
        """Run statements up to one that decides that no other runs."""
        counts: list[int] = []
        for statement in statements:
            counts.append(self._changed(statement, tag, alone=alone))
            if not statement.goes_on(counts[-1]):
                break
        return counts

    def _changed(self, statement: Statement, tag: str, *, alone: bool) -> int:
        """Run a statement; returns the rows that it changed, -1 if Snowflake reports none."""
        cursor = self._run(statement.sql, statement.name, tag, alone=alone)
        names = [column.name for column in cursor.description or ()]
        if not names or not names[0].startswith("number of rows "):
            return -1
        with self._translating(statement.name):
            [row] = cursor.fetchall()
        counted = ("number of rows inserted", "number of rows updated", "number of rows deleted")
        return sum(
            int(value) for name, value in zip(names, row, strict=True) if name.startswith(counted)
        )

    def _explained(self, query: str) -> Estimate | PermanentError:
        try:
            with self._using():
                [[plan]] = self._answer(f"EXPLAIN USING JSON {query}", "")
        except PermanentError as error:
            return error
        return Estimate(read_bytes=json.loads(plan).get("GlobalStats", {}).get("bytesAssigned"))

    def _answer(self, sql: str, action: str) -> list[tuple[Any, ...]]:
        cursor = self._run(sql, action)
        with self._translating(action):
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def _describe(self, sql: str) -> Mapping[str, str]:
        if not is_one_query(sql):
            raise PermanentError(
                "it must be exactly one query", hint="write one SELECT, or a WITH that ends in one"
            )
        with self._using(), self._translating():
            columns = self._in_session(
                lambda cursor: described(cursor) if cursor.describe(sql) else []
            )
        check_names(column_name(column.name) for column in columns)
        return {column_name(column.name): described_type(column) for column in columns}

    def _columns_together(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """Read the columns of several tables in one round trip, if all of them can be read."""
        try:
            columns = self._described_together(tables) if len(tables) > 1 else []
        except PermanentError:
            columns = []  # one of them is missing or can't be read: read each by itself
        if len(columns) != len(tables):
            return {table: self._columns_of(table) for table in tables}
        return dict(zip(tables, columns, strict=True))

    def _described_together(self, tables: Sequence[str]) -> list[Mapping[str, str]]:
        # One query over all tables, with a marker column after the columns of each table.
        marks = [f"PLANE__END_{number}" for number in range(len(tables))]
        selected = ", ".join(f"t{number}.*, 0 AS {mark}" for number, mark in enumerate(marks))
        sources = " CROSS JOIN ".join(
            f"{table} AS t{number}" for number, table in enumerate(tables)
        )
        query = f"SELECT {selected} FROM {sources}"
        with self._using(), self._translating():
            columns = self._in_session(
                lambda cursor: described(cursor) if cursor.describe(query) else []
            )
        complete: list[Mapping[str, str]] = []
        table: dict[str, str] = {}
        for column in columns:
            if len(complete) < len(marks) and column.name == marks[len(complete)]:
                complete.append(table)
                table = {}
            else:
                table[column_name(column.name)] = described_type(column)
        return complete

    def _columns_of(self, table: str) -> Mapping[str, str] | None:
        try:
            with self._using():
                rows = self._answer(f"DESCRIBE TABLE {table}", f"reading the columns of {table}")
        except MissingObject:
            return None
        return {
            column_name(name): canonical_type(type_text)
            for name, type_text, column_kind, *_ in rows
            if column_kind == "COLUMN"
        }

    def _rows(self, cursor: DriverCursor) -> Iterator[pa.RecordBatch]:
        columns = [
            (plain_name(column.name), described_type(column)) for column in described(cursor)
        ]
        expected, seen = cursor.rowcount or 0, 0
        with self._translating("reading"):
            for table in cursor.fetch_arrow_batches(force_microsecond_precision=True):
                self._check_cancelled("reading")
                seen += table.num_rows
                try:
                    canonical = normalised(table, columns)
                except pa.ArrowInvalid as error:
                    hint = "cast the column in the query, for example to DECIMAL(38,0) or FLOAT"
                    raise PermanentError(f"reading: {error}", hint=hint) from None
                yield from canonical.to_batches(max_chunksize=BATCH_ROWS)
        if seen != expected:
            text = f"reading: only {seen} of the result's {expected} rows arrived"
            raise TransientError(text, hint="the result was cut short on its way: try again")

    def _run(self, sql: str, action: str, tag: str = "", *, alone: bool = True) -> DriverCursor:
        """Run a statement to its end; returns its cursor.

        A statement that is `alone`, outside a transaction, runs in a new session if the old one has
        ended.
        """
        self._check_cancelled(action)
        with self._translating(action):
            return self._finished(sql, action, tag, alone=alone)

    def _finished(self, sql: str, action: str, tag: str, *, alone: bool) -> DriverCursor:
        parameters = {"QUERY_TAG": query_tag({**self._tags, "work": tag, "statement": action})}

        def submit(cursor: DriverCursor) -> DriverCursor:
            cursor.execute_async(sql, _statement_params=parameters)
            return cursor

        cursor = self._in_session(submit, alone=alone)
        query_id = str(cursor.sfqid)
        with self._lock:
            self._running.add(query_id)
            stopped = self._cancelled
        try:
            if stopped:
                self._abort(query_id)
            pause = SHORTEST_PAUSE
            while self._connection.is_still_running(self._connection.get_query_status(query_id)):
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
            cursor.query_result(query_id)
        except BaseException as error:
            # A ProgrammingError is the statement's own end. After any other error, as after
            # Ctrl-C, it may still run on the server.
            if not isinstance(error, errors.ProgrammingError):
                self._abort(query_id)
            raise
        finally:
            with self._lock:
                self._running.discard(query_id)
        return cursor

    def _in_session(self, call: Callable[[DriverCursor], T], *, alone: bool = True) -> T:
        """Call with a cursor; if the session has ended, call again with one of a new session."""
        if alone:
            self._reopen()
        try:
            return call(self._connection.cursor())
        except errors.Error as error:
            if not session_gone(error):
                raise
            self._end_session()
            if not alone:
                raise
        self._reopen()
        return call(self._connection.cursor())

    def _roll_back(self, tag: str) -> None:
        """Roll the open transaction back; if that fails, end the session, which does it, too."""
        if self._connection.is_closed():
            return
        try:
            self._finished("ROLLBACK", "rolling back", tag, alone=False)
        except errors.Error:
            self._end_session()

    def _opened(self) -> Any:  # noqa: ANN401 - each version has a class of its own
        try:
            return snowflake.connector.connect(**self._options)
        except errors.Error as error:
            raise login_failed(error, self._context["role"], self._secrets) from None

    def _reopen(self) -> None:
        with self._lock:
            if self._connection.is_closed():
                self._connection = self._opened()

    def _end_session(self) -> None:
        try:
            self._connection.close()
        except errors.Error:
            pass  # the server ends a session without requests by itself

    def _abort(self, query_id: str) -> None:
        try:
            self._connection.cursor().abort_query(query_id)
        except errors.Error:
            pass  # it has ended, or is out of reach: the thread that polls it gets the error

    def _check_cancelled(self, action: str) -> None:
        if self._cancelled:
            raise PermanentError(f"{action}: cancelled")

    def _in_parallel(self, ask: Callable[[Item], T], items: Sequence[Item]) -> list[T]:
        if len(items) < 2:
            return [ask(item) for item in items]
        with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
            return list(pool.map(ask, items))

    @contextmanager
    def _translating(self, action: str = "") -> Iterator[None]:
        """Translate the driver's errors; `action` says what failed."""
        try:
            yield
        except errors.Error as error:
            if self._cancelled:
                raise PermanentError(f"{action}: cancelled" if action else "cancelled") from None
            raise translated(error, action, self._context, self._secrets) from None
        except (OSError, ValueError) as error:
            # Version 4 does not wrap the errors of its HTTP client and of Arrow when a part of a
            # result arrives incomplete.
            text = f"a part of the result arrived incomplete ({type(error).__name__})"
            hint = "the connection to Snowflake failed for a moment: try again"
            raise TransientError(f"{action}: {text}", hint=hint) from None
