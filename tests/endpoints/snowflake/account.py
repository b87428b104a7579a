"""What all sessions share: the database, the locks of its tables, results that wait to be fetched,
and what was run."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from tests.endpoints.snowflake.errors import SnowflakeError, lock_timeout
from tests.endpoints.snowflake.faults import Faults
from tests.endpoints.snowflake.names import quoted

VERSION = "10.3.0"
KEPT_RESULTS = 200
SELECT, INSERT, UPDATE, DELETE, MERGE, OTHER = 0x1000, 0x3100, 0x3200, 0x3300, 0x3400, 0x6000


@dataclass
class Result:
    """What a statement gives: the columns and rows of a query, the counts of a change, or a line of
    text.

    `told` are rows that the server itself tells: they are sent as text.
    """

    kind: int
    columns: list[dict[str, Any]] = field(default_factory=list)
    rows: pa.Table | None = None
    counts: dict[str, int] = field(default_factory=dict)
    text: str = "Statement executed successfully."
    told: bool = False
    total: int = 0


@dataclass
class Query:
    """One statement that was sent, running or done."""

    number: str
    text: str
    tag: str
    user: str
    done: threading.Event = field(default_factory=threading.Event)
    result: Result | None = None
    error: SnowflakeError | None = None
    stop: Callable[[], None] | None = None

    def status(self) -> str:
        if not self.done.is_set():
            return "RUNNING"
        return "SUCCESS" if self.error is None else "FAILED_WITH_ERROR"


class Locks:
    """A table's lock is held by the session that changes its rows, to the end of the
    transaction."""

    def __init__(self) -> None:
        self._holders: dict[str, object] = {}
        self._changed = threading.Condition()

    def take(self, table: str, session: object, seconds: float, stopped: threading.Event) -> None:
        """Wait for a table, as long as the session's LOCK_TIMEOUT allows."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._holders.get(table, session) is not session:
                left = until - time.monotonic()
                if left <= 0:
                    raise lock_timeout(table)
                if stopped.is_set():
                    return
                self._changed.wait(min(left, 0.05))
            self._holders[table] = session

    def release(self, session: object) -> None:
        """Give back all that a session holds."""
        with self._changed:
            self._holders = {
                table: holder for table, holder in self._holders.items() if holder is not session
            }
            self._changed.notify_all()


@dataclass
class Compute:
    """A virtual warehouse: whether it runs now, and whether a query starts it."""

    running: bool = True
    auto_resume: bool = True


class Account:
    """One account with one database.

    Args:
        path: DuckDB's file, or `:memory:`.
        database: the database's name in Snowflake.
        wrapped: makes of each session's connection what its statements run on, such as a profiler.
    """

    def __init__(
        self,
        path: str,
        database: str,
        wrapped: Callable[[duckdb.DuckDBPyConnection], Any] = lambda connection: connection,
    ) -> None:
        self.database = database
        self._wrapped = wrapped
        self.users = {"PLANE": "open sesame"}
        self.tokens = {"a-token": "PLANE"}
        self.public_keys: dict[str, str] = {}
        self.roles = {"PLANE_ROLE", "PUBLIC"}
        self.warehouses = {"COMPUTE": Compute()}
        self.locks = Locks()
        self.faults = Faults()
        self.history: list[Query] = []
        self.recorded: list[str] = []
        self.arrays_as_text = False
        self._queries: OrderedDict[str, Query] = OrderedDict()
        self._guard = threading.Lock()
        self._root = duckdb.connect(":memory:")
        self._root.execute("SET GLOBAL TimeZone = 'UTC'")
        self._root.execute("SET GLOBAL python_enable_replacements = false")
        self._root.execute("SET GLOBAL asof_loop_join_threshold = 0")
        location = path.replace("'", "''")
        self._root.execute(f"ATTACH '{location}' AS {quoted(database)}")
        self._root.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(database, 'PUBLIC')}")

    def open(self) -> duckdb.DuckDBPyConnection:
        """A connection of one session's own."""
        opened: duckdb.DuckDBPyConnection = self._wrapped(self._root.cursor())
        return opened

    def keep(self, query: Query) -> None:
        """Remember a query; of the results, only those of the last ones."""
        with self._guard:
            self.history.append(query)
            self._queries[query.number] = query
            if len(self._queries) > KEPT_RESULTS:
                self._queries.popitem(last=False)

    def find(self, number: str) -> Query | None:
        return self._queries.get(number)

    def close(self) -> None:
        self._root.close()
