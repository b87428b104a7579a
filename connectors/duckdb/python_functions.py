"""Python functions for DuckDB, which runs them but has no `CREATE FUNCTION` for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from controlplane.base.ports import Function

RAISED = "Python exception occurred while executing the UDF: RuntimeError: "
"""The start of DuckDB's error for a function that raised RuntimeError, before its message."""


def create_function(connection: duckdb.DuckDBPyConnection, function: Function) -> None:
    """Create a function, for as long as the connection lives.

    Raises:
        duckdb.Error: DuckDB refuses the function.
    """
    name = function.name.strip('"')
    namespace: dict[str, Any] = {}
    # The body is a definition of the project's own.
    exec(compile(function.program, name, "exec"), namespace)  # noqa: S102 - see above
    try:
        connection.remove_function(name)
    except duckdb.InvalidInputException:
        pass  # it does not exist yet
    parameter_types: list[Any] = [duckdb.sqltype(text) for text in function.parameters]
    connection.create_function(
        name,
        _by_column(
            namespace[function.handler],
            len(parameter_types),
            _arrow_type(connection, function.returns),
        ),
        parameter_types,
        duckdb.sqltype(function.returns),
        type=PythonUDFType.ARROW,  # with NATIVE, NaN becomes NULL
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

    # DuckDB compares the number of parameters in the signature with that of the types.
    parameters = [
        inspect.Parameter(f"column_{n}", inspect.Parameter.POSITIONAL_ONLY) for n in range(count)
    ]
    vars(compute)["__signature__"] = inspect.Signature(parameters)
    return compute
