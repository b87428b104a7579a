"""Computes expressions over rows in memory, with a DuckDB in this process that stores no data."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from connectors.duckdb.python_functions import RAISED, create_function
from controlplane.base.ports import Function
from controlplane.errors import PermanentError

_SETTINGS = (
    "SET threads = 1",  # a row takes microseconds, less than a thread costs
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    # Nearly all of the time is planning, and half of that would be optimizing a tiny query.
    "PRAGMA disable_optimizer",
    "SET lock_configuration = true",
)


def prepare(*, query: str, functions: Sequence[Function] = ()) -> DuckDBCalculator:
    """Prepare a query.

    Args:
        query: one SELECT whose parameters `$1`, `$2`, ... are lists.
        functions: the functions in Python that the query calls.

    Raises:
        PermanentError: DuckDB refuses the query.
    """
    connection = duckdb.connect(":memory:")
    try:
        for statement in _SETTINGS:
            connection.execute(statement)
        for function in functions:
            create_function(connection, function)
        return DuckDBCalculator(connection, query)
    except duckdb.Error as error:
        connection.close()
        raise _translated(error) from None


class DuckDBCalculator:
    """Implements `controlplane.base.ports.Calculator`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        self._connection = connection
        self._query = query
        self._own = threading.local()
        # DuckDB warns of functions that outlive their connection, so close it with this object.
        weakref.finalize(self, connection.close)
        connection.execute(f"PREPARE checked AS {query}")

    def compute(self, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """See `Calculator.compute`."""
        if not hasattr(self._own, "cursor"):
            self._own.cursor = self._connection.cursor()
            [self._own.statement] = self._own.cursor.extract_statements(self._query)
        try:
            rows = self._own.cursor.execute(
                self._own.statement, [_plain(column) for column in columns]
            ).fetchall()
        except duckdb.Error as error:
            raise _translated(error) from None
        return [tuple(_zoned(value) for value in row) for row in rows]

    def close(self) -> None:
        """See `Calculator.close`."""
        self._connection.close()


def _plain(value: Any) -> Any:  # noqa: ANN401 - values are of any type
    """Return a value as DuckDB takes it: its timestamps have no zone."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _zoned(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return [_zoned(item) for item in value] if isinstance(value, list) else value


def _translated(error: duckdb.Error) -> PermanentError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (
        (lines[0] if lines else type(error).__name__)
        .removeprefix("Invalid Input Error: ")
        .removeprefix(RAISED)
    )
    return PermanentError(f"a calculation failed: {text}")
