"""Snowflake: statements and rows through one session of the vendor's driver, of its lines 4 and 5.

Knows statements and rows; timestamps are `TIMESTAMP_NTZ` in UTC. Columns whose names Snowflake
stores in capitals are given in lower case, all others as they are.

Every statement is submitted without waiting for its end, and asked for until it is done: so its
number is known, and it can be stopped on the server; and a request that gets no answer is given up
soon, however long a statement may take.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

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
"""Questions about tables and queries that are asked side by side."""
DESCRIBED_TOGETHER = 10
"""Tables whose columns are asked for in one query.

A compiler takes longer with every view in it.
"""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 1.0
"""Seconds between two questions whether a statement is done; they grow while it runs."""
Q = TypeVar("Q")
T = TypeVar("T")

# Where nobody asked for logs, the driver's reports of what it tries again do not go to the
# terminal.
logging.getLogger("snowflake.connector").addHandler(logging.NullHandler())


class SnowflakeWarehouse:
    """Implements `base.ports.Warehouse` over one session, which is opened again if it ended between
    uses."""

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
        """See `Warehouse.execute`.

        Snowflake commits at every definition of a table or view, `atomic` or not.
        """
        with self._using():
            if not atomic:
                return [self._changed(statement, tag) for statement in statements]
            self._run("BEGIN", "beginning", tag).close()
            try:
                counts = [self._changed(statement, tag, alone=False) for statement in statements]
                self._run("COMMIT", "committing", tag, alone=False).close()
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
        found = self._side_by_side(self._columns_together, groups)
        return {table: columns for group in found for table, columns in group.items()}

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""

        def alone(query: str) -> Mapping[str, str] | PermanentError:
            try:
                return self._describe(query)
            except PermanentError as error:
                return error

        return self._side_by_side(alone, queries)

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """See `Warehouse.explain`: Snowflake tells the bytes of the partitions that are left to
        read."""
        return self._side_by_side(self._explained, queries)

    def info(self) -> Mapping[str, str]:
        """See `Warehouse.info`."""
        asked = ("version", "account", "user", "role", "warehouse", "database")
        with self._using():
            functions = ", ".join(f"CURRENT_{name.upper()}()" for name in asked)
            [row] = self._answer(f"SELECT {functions}", "asking who we are")
            found = {name: str(value or "") for name, value in zip(asked, row, strict=True)}
            state = self._state(found["warehouse"])
        place = f"{found.pop('account')} at {self._connection.host}"
        return {"product": f"Snowflake {found.pop('version')}", "place": place, **found, **state}

    def cancel(self) -> None:
        """See `Warehouse.cancel`."""
        with self._lock:
            running = list(self._running)
            self._cancelled = self._uses > 0
        for number in running:
            self._abort(number)

    def close(self) -> None:
        """See `Warehouse.close`."""
        self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """While it is used, `cancel` has something to stop."""
        with self._lock:
            self._uses += 1
        try:
            yield
        finally:
            with self._lock:
                self._uses -= 1
                self._cancelled = self._cancelled and self._uses > 0

    def _state(self, warehouse: str) -> Mapping[str, str]:
        """Whether a warehouse runs, and whether it resumes by itself, as far as the role may see
        it."""
        cursor = self._run("SHOW WAREHOUSES", "looking at the warehouse")
        names = [column.name for column in cursor.description or ()]
        with self._translating("looking at the warehouse"):
            shown = {
                row[names.index("name")]: dict(zip(names, row, strict=True))
                for row in cursor.fetchall()
            }
        one = shown.get(warehouse)
        return {"state": str(one["state"]), "resumes": str(one["auto_resume"])} if one else {}

    def _changed(self, statement: Statement, tag: str, *, alone: bool = True) -> int:
        """The rows that a statement inserted, updated and deleted; -1 where it tells none."""
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

    def _answer(self, sql: str, doing: str) -> list[tuple[Any, ...]]:
        cursor = self._run(sql, doing)
        with self._translating(doing):
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
        """The columns of some tables in one round trip: as those of a query over all of them, with
        a mark after each table's."""
        try:
            columns = self._described_together(tables) if len(tables) > 1 else []
        except PermanentError:
            columns = []  # one of them is missing or can't be read: each is asked for by itself
        if len(columns) != len(tables):
            return {table: self._columns_of(table) for table in tables}
        return dict(zip(tables, columns, strict=True))

    def _described_together(self, tables: Sequence[str]) -> list[Mapping[str, str]]:
        marks = [f"PLANE__END_{number}" for number in range(len(tables))]
        wanted = ", ".join(f"t{number}.*, 0 AS {mark}" for number, mark in enumerate(marks))
        sources = " CROSS JOIN ".join(
            f"{table} AS t{number}" for number, table in enumerate(tables)
        )
        query = f"SELECT {wanted} FROM {sources}"
        with self._using(), self._translating():
            columns = self._in_session(
                lambda cursor: described(cursor) if cursor.describe(query) else []
            )
        found: list[Mapping[str, str]] = []
        table: dict[str, str] = {}
        for column in columns:
            if len(found) < len(marks) and column.name == marks[len(found)]:
                found.append(table)
                table = {}
            else:
                table[column_name(column.name)] = described_type(column)
        return found

    def _columns_of(self, table: str) -> Mapping[str, str] | None:
        try:
            with self._using():
                rows = self._answer(f"DESCRIBE TABLE {table}", f"reading the columns of {table}")
        except MissingObject:
            return None
        return {
            column_name(name): canonical_type(kind)
            for name, kind, what, *_ in rows
            if what == "COLUMN"
        }

    def _rows(self, cursor: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - of either line
        columns = [
            (plain_name(column.name), described_type(column)) for column in described(cursor)
        ]
        expected, seen = cursor.rowcount or 0, 0
        with self._translating("reading"):
            for table in cursor.fetch_arrow_batches(force_microsecond_precision=True):
                self._check_cancelled("reading")
                seen += table.num_rows
                try:
                    found = normalised(table, columns)
                except pa.ArrowInvalid as error:
                    hint = "cast the column in the query, to DECIMAL(38,0) or FLOAT for one"
                    raise PermanentError(f"reading: {error}", hint=hint) from None
                yield from found.to_batches(max_chunksize=BATCH_ROWS)
        if seen != expected:
            text = f"reading: {seen} rows came of the {expected} that the query found"
            raise TransientError(text, hint="the result was cut short on its way: try again")

    def _run(self, sql: str, doing: str, tag: str = "", *, alone: bool = True) -> Any:  # noqa: ANN401 - of either line
        """The cursor of a statement that was run to its end.

        One that stands alone is run in a new session where the old one had ended.
        """
        self._check_cancelled(doing)
        with self._translating(doing):
            return self._finished(sql, doing, tag, alone=alone)

    def _finished(self, sql: str, doing: str, tag: str, *, alone: bool) -> Any:  # noqa: ANN401 - of either line
        parameters = {"QUERY_TAG": query_tag({**self._tags, "work": tag, "statement": doing})}

        def submit(cursor: Any) -> Any:  # noqa: ANN401 - of either line
            cursor.execute_async(sql, _statement_params=parameters)
            return cursor

        cursor = self._in_session(submit, alone=alone)
        number = str(cursor.sfqid)
        with self._lock:
            self._running.add(number)
            stopped = self._cancelled
        try:
            if stopped:
                self._abort(number)
            pause = SHORTEST_PAUSE
            while self._connection.is_still_running(self._connection.get_query_status(number)):
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
            cursor.query_result(number)
        except BaseException as error:
            if not isinstance(error, errors.ProgrammingError):
                self._abort(number)
            raise
        finally:
            with self._lock:
                self._running.discard(number)
        return cursor

    def _in_session(self, call: Callable[[Any], T], *, alone: bool = True) -> T:
        """Call with a cursor.

        Where the session turns out to have ended, once more with one of a new session.
        """
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
        """Undo the open transaction, or else end the session, and with it whatever it left open."""
        if self._connection.is_closed():
            return
        try:
            self._finished("ROLLBACK", "rolling back", tag, alone=False)
        except errors.Error:
            self._end_session()

    def _opened(self) -> Any:  # noqa: ANN401 - of either line
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
            pass  # the server ends what it hears nothing of

    def _abort(self, number: str) -> None:
        try:
            self._connection.cursor().abort_query(number)
        except errors.Error:
            pass  # it is done, or out of reach: whoever waits for it is told

    def _check_cancelled(self, doing: str) -> None:
        if self._cancelled:
            raise PermanentError(f"{doing}: cancelled")

    def _side_by_side(self, ask: Callable[[Q], T], asked: Sequence[Q]) -> list[T]:
        if len(asked) < 2:
            return [ask(one) for one in asked]
        with ThreadPoolExecutor(min(PARALLEL, len(asked))) as pool:
            return list(pool.map(ask, asked))

    @contextmanager
    def _translating(self, doing: str = "") -> Iterator[None]:
        """Raise a driver's error as one of ours; `doing` says what failed."""
        try:
            yield
        except errors.Error as error:
            if self._cancelled:
                raise PermanentError(f"{doing}: cancelled" if doing else "cancelled") from None
            raise translated(error, doing, self._context, self._secrets) from None
        except (OSError, ValueError) as error:
            # Line 4 lets through what its HTTP client and Arrow raise over a part that did not come
            # whole.
            text = f"a part of the result did not come whole ({type(error).__name__})"
            hint = "the way to the result failed for a moment: try again"
            raise TransientError(f"{doing}: {text}", hint=hint) from None
