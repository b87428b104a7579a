"""Functions in Python of a session: made by CREATE TEMPORARY FUNCTION, and run by DuckDB in this
process.

A handler gets what Snowflake gives it: integers for numbers without a fraction, naive times, None
for null.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from duckdb import sqltype
from duckdb.func import FunctionNullHandling, PythonUDFType
from sqlglot import exp

from tests.endpoints.snowflake.account import OTHER, Result
from tests.endpoints.snowflake.context import Context
from tests.endpoints.snowflake.errors import SnowflakeError, unknown_function, unsupported
from tests.endpoints.snowflake.types import duckdb_type

if TYPE_CHECKING:
    from tests.endpoints.snowflake.session import Session

CREATE = re.compile(
    r"CREATE OR REPLACE TEMPORARY FUNCTION"
    r' "(?P<schema>\w+)"\."(?P<name>\w+)"\((?P<parameters>.*)\)\s+'
    r"RETURNS (?P<returns>.+)\s+LANGUAGE PYTHON\s+RUNTIME_VERSION = '3\.1[0-3]'\s+HANDLER ="
    r" '(?P<handler>\w+)'\s+"
    r"AS \$\$\n(?P<body>.*)\n\$\$\s*",
    re.DOTALL,
)
_PARAMETER = re.compile(r'"[^"]+" ((?:[^,(]|\([^)]*\))+)')


def create(session: Session, found: re.Match[str]) -> Result:
    """Make the function in the session."""
    if not session.is_there("schema", (session.database, found["schema"], found["schema"])):
        raise SnowflakeError(
            2003, "02000", f"SQL compilation error:\nSchema '{found['schema']}' does not exist."
        )
    kinds: list[Any] = [_kind(text) for text in _PARAMETER.findall(found["parameters"])]
    returns = _kind(found["returns"])
    program: dict[str, Any] = {}
    exec(compile(found["body"], "_udf_code.py", "exec"), program)
    name = flat(found["schema"], found["name"])
    if name in session.functions:
        session.connection.remove_function(name)
    session.functions.add(name)
    arrow = (
        session.connection.sql(f"SELECT CAST(NULL AS {returns}) AS one")
        .to_arrow_table()
        .schema.field("one")
        .type
    )
    session.connection.create_function(
        name,
        _by_column(program[found["handler"]], len(kinds), arrow),
        kinds,
        sqltype(returns),
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    return Result(OTHER, text=f"Function {found['name']} successfully created.")


def called(node: exp.Expr, _: Context) -> exp.Expr:
    """A call of a function by its schema and name."""
    function = node.expression
    if not isinstance(node.this, exp.Identifier) or not isinstance(function, exp.Anonymous):
        raise unsupported(node.sql("snowflake"))
    if not isinstance(function.this, exp.Identifier):
        raise unknown_function(str(function.this))
    return exp.Anonymous(
        this=flat(node.this.this, function.this.this), expressions=function.expressions
    )


def flat(schema: str, name: str) -> str:
    """What DuckDB calls it, whose functions in Python lie in no schema."""
    return f"python_{schema}_{name}"


def _kind(text: str) -> str:
    found = duckdb_type(exp.DataType.build(text.strip(), dialect="snowflake"))
    if found == "JSON" or found.endswith("[]"):
        raise unsupported(f"a Python function with {text}")
    return "DECIMAL(38,0)" if found == "HUGEINT" else found


def _by_column(
    function: Callable[..., Any], count: int, returns: pa.DataType
) -> Callable[..., pa.Array]:
    def compute(*columns: pa.ChunkedArray) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([function(*map(_given, row)) for row in rows], returns)

    parameters = [
        inspect.Parameter(f"column_{n}", inspect.Parameter.POSITIONAL_ONLY) for n in range(count)
    ]
    vars(compute)["__signature__"] = inspect.Signature(parameters)
    return compute


def _given(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value
