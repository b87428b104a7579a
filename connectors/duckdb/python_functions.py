"""Functions in Python for DuckDB, which runs them but has no statement for it: `CREATE FUNCTION` as
others have it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

_CREATE = re.compile(
    r'CREATE OR REPLACE TEMPORARY FUNCTION "(?P<name>[^"]+)"\((?P<parameters>.*)\)\n'
    r"RETURNS (?P<returns>.+)\nLANGUAGE PYTHON\nHANDLER = '(?P<handler>\w+)'\nAS"
    r" \$\$\n(?P<body>.*)\n\$\$",
    re.DOTALL,
)
RAISED = "Python exception occurred while executing the UDF: RuntimeError: "
"""What stands before the words of a function that raised RuntimeError, in DuckDB's error."""
_PARAMETER = re.compile(r'"[^"]+" ((?:[^,(]|\([^)]*\))+)')


def create_function(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Make the function that a statement asks for; False where it asks for something else.

    Raises:
        duckdb.Error: DuckDB does not take it.
    """
    found = _CREATE.fullmatch(sql)
    if found is None:
        return False
    program: dict[str, Any] = {}
    exec(compile(found["body"], found["name"], "exec"), program)  # noqa: S102 - a definition of the project's own
    try:
        connection.remove_function(found["name"])
    except duckdb.InvalidInputException:
        pass  # there is none yet
    kinds: list[Any] = [duckdb.sqltype(kind) for kind in _PARAMETER.findall(found["parameters"])]
    connection.create_function(
        found["name"],
        _by_column(
            program[found["handler"]], len(kinds), _arrow_type(connection, found["returns"])
        ),
        kinds,
        duckdb.sqltype(found["returns"]),
        type=PythonUDFType.ARROW,  # the driver's own values would lose NaN
        null_handling=FunctionNullHandling.SPECIAL,
    )
    return True


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
