"""Functions in Python for DuckDB, which runs them but has no statement that makes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from controlplane.base.ports import Function

RAISED = "Python exception occurred while executing the UDF: RuntimeError: "
"""What stands before the words of a function that raised RuntimeError, in DuckDB's error."""


def create_function(connection: duckdb.DuckDBPyConnection, function: Function) -> None:
    """Make a function, for as long as the connection lives.

    Raises:
        duckdb.Error: DuckDB does not take it.
    """
    name = function.name.strip('"')
    program: dict[str, Any] = {}
    exec(compile(function.program, name, "exec"), program)  # noqa: S102 - a definition of the project's own
    try:
        connection.remove_function(name)
    except duckdb.InvalidInputException:
        pass  # there is none yet
    kinds: list[Any] = [duckdb.sqltype(kind) for kind in function.parameters]
    connection.create_function(
        name,
        _by_column(
            program[function.handler], len(kinds), _arrow_type(connection, function.returns)
        ),
        kinds,
        duckdb.sqltype(function.returns),
        type=PythonUDFType.ARROW,  # the driver's own values would lose NaN
        null_handling=FunctionNullHandling.SPECIAL,
    )


def _arrow_type(connection: duckdb.DuckDBPyConnection, name: str) -> pa.DataType:
    return (
        connection.sql(f"SELECT CAST(NULL AS {name}) AS one")
        .to_arrow_table()
        .schema.field("one")
        .type
    )


def _by_column(
    function: Callable[..., Any], count: int, returns: pa.DataType
) -> Callable[..., pa.Array]:
    def compute(*columns: pa.ChunkedArray) -> pa.Array:
        rows: Sequence[Sequence[Any]] = list(
            zip(*(column.to_pylist() for column in columns), strict=True)
        )
        return pa.array([function(*row) for row in rows], returns)

    # DuckDB counts them.
    parameters = [
        inspect.Parameter(f"column_{n}", inspect.Parameter.POSITIONAL_ONLY) for n in range(count)
    ]
    vars(compute)["__signature__"] = inspect.Signature(parameters)
    return compute
