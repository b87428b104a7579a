"""DuckDB: the embedded warehouse, one file that one process at a time may open.

Timestamps are `TIMESTAMP` in UTC with microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from connectors.duckdb.python_functions import RAISED, create_function
from controlplane.base.ports import Columns, Estimate, Statement, check_names
from controlplane.errors import FileInUse, PermanentError, PlaneError, TransientError, disk_remedy

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536
_OF_THE_DISK = (duckdb.IOException, duckdb.TransactionException, duckdb.FatalException, OSError)
DESCRIBED_TOGETHER = 20
"""Queries that are described by one statement; if one is wrong, each is described alone."""
_CANONICAL = {
    "BOOLEAN": "bool",
    "TINYINT": "int64",
    "SMALLINT": "int64",
    "INTEGER": "int64",
    "BIGINT": "int64",
    "UTINYINT": "int64",
    "USMALLINT": "int64",
    "UINTEGER": "int64",
    "FLOAT": "float64",
    "DOUBLE": "float64",
    "VARCHAR": "string",
    "BLOB": "binary",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
}


def canonical_type(name: str) -> str:
    """Return the name in `base.types` of a DuckDB type; types without one stay unchanged."""
    if name.endswith("[]"):
        item = canonical_type(name[:-2])
        return name if item == name[:-2] else f"array<{item}>"
    if name.startswith("DECIMAL("):
        return name.lower().replace(" ", "")
    return _CANONICAL.get(name, name)


def connect(*, path: str, memory_limit: str | None = None) -> DuckDBWarehouse:
    """Open the warehouse file; creates it and its folder if they don't exist.

    Args:
        path: the file, or `:memory:`.
        memory_limit: the memory that DuckDB uses before it writes to disk, such as `2GB` (default:
            most of the machine's).

    Raises:
        TransientError: another process has the file open.
        PermanentError: it can't be opened.
    """
    try:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            path, config={"memory_limit": memory_limit} if memory_limit else {}
        )
        # The machine's zone must not change comparisons of TIMESTAMPTZ with TIMESTAMP.
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # A missing table is an error, even if a variable of this process has its name.
        connection.execute("SET GLOBAL python_enable_replacements = false")
        # DuckDB's estimate of rows is far off after joins: it then chooses nested loops for an
        # as-of join, which takes minutes instead of seconds.
        connection.execute("SET GLOBAL asof_loop_join_threshold = 0")
    except (duckdb.Error, OSError) as error:
        raise _translated(error, f"opening the warehouse {path}") from None
    return DuckDBWarehouse(connection, path)


class DuckDBWarehouse:
    """Implements `controlplane.base.ports.Warehouse` over one DuckDB connection."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._cursors: set[duckdb.DuckDBPyConnection] = set()

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`; DuckDB has no query log, so `tag` is not used."""
        counts: list[int] = []
        if atomic:
            self._connection.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                counts.append(self._run(statement))
                if not statement.goes_on(counts[-1]):
                    break
            if len(counts) < len(statements):
                self._roll_back(atomic)
            elif atomic:
                with _translating("committing"):
                    self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back(atomic)
            raise
        return counts

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """See `Warehouse.fetch`."""
        cursor = self._connection.cursor()
        self._cursors.add(cursor)
        try:
            with _translating("reading"):
                yield from cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
        finally:
            self._cursors.discard(cursor)
            cursor.close()

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """See `Warehouse.columns`."""
        of_tables: dict[str, Mapping[str, str] | None] = {}
        for table in tables:
            try:
                of_tables[table] = self._described(f"FROM {table}")
            except duckdb.CatalogException:
                of_tables[table] = None
            except duckdb.Error as error:
                raise _translated(error, f"reading the columns of {table}") from None
        return of_tables

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""
        described: list[Mapping[str, str] | PermanentError] = []
        for start in range(0, len(queries), DESCRIBED_TOGETHER):
            group = queries[start : start + DESCRIBED_TOGETHER]
            for query, columns in zip(group, self._described_together(group), strict=True):
                described.append(self._described_alone(query) if columns is None else columns)
        return described

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """See `Warehouse.explain`: only errors, no numbers."""
        # DuckDB assumes that any filter keeps a fifth of the rows.
        return [self._explained(query) for query in queries]

    def info(self) -> Mapping[str, str]:
        """See `Warehouse.info`."""
        version = self._connection.execute("SELECT version()").fetchall()[0][0]
        return {"product": f"DuckDB {version}", "place": self._path}

    def cancel(self) -> None:
        """See `Warehouse.cancel`."""
        for connection in (self._connection, *self._cursors):
            connection.interrupt()

    def close(self) -> None:
        """See `Warehouse.close`."""
        self._connection.close()

    def _run(self, statement: Statement) -> int:
        with _translating(statement.name):
            if statement.function is not None:
                create_function(self._connection, statement.function)
                return -1
            rows = self._connection.execute(statement.sql).fetchall()
        return rows[0][0] if len(rows) == 1 and rows[0] and isinstance(rows[0][0], int) else -1

    def _roll_back(self, atomic: bool) -> None:
        if not atomic:
            return
        try:
            self._connection.execute("ROLLBACK")
        except duckdb.Error:
            pass  # the transaction has already ended; the caller raises the first error

    def _described_together(self, queries: Sequence[str]) -> Sequence[Mapping[str, str] | None]:
        """Return the columns of each query with one statement; None: describe the query alone.

        The statement reads each query as one column of records.
        """
        if len(queries) == 1:
            return [None]  # it may be a user's text, which might close the parenthesis around it
        name = "plane__record"
        records = [
            f"(SELECT {name} FROM ({query}\n) AS {name}) AS query_{i}"
            for i, query in enumerate(queries)
        ]
        try:
            # Many views of a project return the same columns, so each type is parsed once.
            rows = self._connection.execute(f"DESCRIBE SELECT {', '.join(records)}").fetchall()
            types = {text: self._connection.type(text) for text in {row[1] for row in rows}}
        except duckdb.Error:
            return [None] * len(queries)
        columns = {text: _columns(record_type) for text, record_type in types.items()}
        return [columns[row[1]] for row in rows]

    def _explained(self, sql: str) -> Estimate | PermanentError:
        try:
            with _translating():
                self._check_one(sql)
                self._connection.execute(f"EXPLAIN {sql}")
        except PermanentError as error:
            return error
        return Estimate()

    def _described_alone(self, sql: str) -> Mapping[str, str] | PermanentError:
        try:
            with _translating():
                return self._described(sql)
        except PermanentError as error:
            return error

    def _check_one(self, sql: str) -> None:
        # DESCRIBE and EXPLAIN apply to the first statement only; a second one would run.
        if len(self._connection.extract_statements(sql)) != 1:
            raise duckdb.ParserException("it must be exactly one query")

    def _described(self, sql: str) -> Columns:
        self._check_one(sql)
        rows = self._connection.execute(f"DESCRIBE {sql}").fetchall()
        check_names(name for name, *_ in rows)
        return Columns((name, canonical_type(type_name)) for name, type_name, *_ in rows)


def _columns(record: duckdb.sqltypes.DuckDBPyType) -> Mapping[str, str] | None:
    """Return the columns of a record; None if `DESCRIBE` would spell a type of one differently."""
    if record.id != "struct":
        return None
    columns = Columns((name, canonical_type(str(child))) for name, child in record.children)
    plain = (*_CANONICAL.values(), "decimal(", "array<")
    is_plain = all(type_name.startswith(plain) for type_name in columns.values())
    return columns if is_plain else None


@contextmanager
def _translating(action: str = "") -> Iterator[None]:
    """Translate the driver's errors; `action` says what failed."""
    try:
        yield
    # An error in the middle of a stream passes through Arrow, which raises OSError.
    except (duckdb.Error, OSError) as error:
        raise _translated(error, action) from None
    except RuntimeError as error:
        # The driver raises this instead of KeyboardInterrupt.
        if "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from None


def _translated(error: Exception, action: str = "") -> PlaneError:
    """Return an error of the platform for one of the driver's; `action` says what failed."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = re.sub(r"^[A-Z]\w*( \w+){0,2} Error: ", "", lines[0] if lines else type(error).__name__)
    text = text.removeprefix(RAISED)
    extra = [line for line in lines[1:] if line.startswith(("Candidate", "Did you mean", "LINE"))]
    message = f"{action}: {text}" if action else text
    hint = "; ".join(extra)
    if isinstance(error, duckdb.IOException) and "lock" in text.lower():
        holder = re.search(r"PID (\d+)", str(error))
        by = f" by process {holder[1]}" if holder else " by another process"
        hint = "close it there, or wait: DuckDB lets one process at a time open a file"
        pid = int(holder[1]) if holder else None
        return FileInUse(f"{action}: the file is open{by}", pid=pid, hint=hint)
    if isinstance(error, duckdb.IOException) and "not a valid DuckDB database" in text:
        return PermanentError(
            message, hint="give the path of a DuckDB file, or of a file that does not exist yet"
        )
    # A commit that can't write is a TransactionException too.
    if isinstance(error, _OF_THE_DISK) and (remedy := disk_remedy(text)):
        return PermanentError(message, hint=remedy)
    if isinstance(error, duckdb.TransactionException):
        return TransientError(
            message, hint=hint or "another writer changed the same table: try again"
        )
    if isinstance(error, duckdb.InterruptException):
        return PermanentError(f"{action}: cancelled" if action else "cancelled")
    if isinstance(error, duckdb.OutOfMemoryException):
        return PermanentError(
            message, hint="give the process more memory, or compute shorter intervals"
        )
    return PermanentError(message, hint=hint)
