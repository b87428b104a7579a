"""Functions in Python of a session: CREATE TEMPORARY FUNCTION ...

LANGUAGE PYTHON, which Spark itself has not.

What the text computes is a Python function of Spark's own. A temporary function in SQL, which Spark
has, calls it: so the name, the arguments' number and types, and where the function is seen are what
they are in Databricks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from pyspark.sql import SparkSession

CREATE = re.compile(
    r"CREATE OR REPLACE TEMPORARY FUNCTION `(?P<name>\w+)`\((?P<parameters>.*)\)\s+RETURNS"
    r" (?P<returns>[^\n]+)\s+"
    r"LANGUAGE PYTHON\s+DETERMINISTIC\s+AS \$\$\n(?P<body>((?!\$\$).)*)\n\$\$",
    re.DOTALL,
)
_PARAMETER = re.compile(r"`(\w+)` (?:[^,(]|\([^)]*\))+")
_FILE = "<udfbody>"
_RAISED = re.compile(
    rf'File "{_FILE}", line \d+, in (?P<name>\w+)\n.*^(?P<error>[A-Z]\w*(: [^\n]*)?)',
    re.DOTALL | re.MULTILINE,
)


def create(spark: SparkSession, found: re.Match[str]) -> None:
    """Make the function in a session.

    Raises:
        ValueError: its body is no Python.
    """
    name, parameters = found["name"], _PARAMETER.findall(found["parameters"])
    hidden = f"python_{name}"
    spark.udf.register(hidden, _function(name, parameters, found["body"]), found["returns"])
    spark.sql(
        f"CREATE OR REPLACE TEMPORARY FUNCTION `{name}`({found['parameters']}) RETURNS"
        f" {found['returns']} LANGUAGE SQL DETERMINISTIC RETURN"
        f" {hidden}({', '.join(f'`{one}`' for one in parameters)})"
    )


def failure(text: str) -> str:
    """What Databricks says where Spark tells so what a function raised.

    Empty where it tells another thing.
    """
    found = _RAISED.search(text)
    if found is None:
        return ""
    failed = f"[UDF_USER_CODE_ERROR.GENERIC] Execution of function {found['name']} failed."
    return f"{failed}\n== Error ==\n{found['error']}\n== Stacktrace ==\n{found[0]}"


def _function(name: str, parameters: list[str], body: str) -> Callable[..., Any]:
    """The function that has this body; the names that are made in it are its own."""
    tree = ast.parse(f"def {name}({', '.join(parameters)}): pass")
    [function] = tree.body
    assert isinstance(function, ast.FunctionDef)
    try:
        function.body = ast.parse(body).body
        code = compile(tree, _FILE, "exec")
    except SyntaxError as error:
        raise ValueError(f"the body of function {name} is no Python: {error}") from None
    # None that can be imported: it goes to the workers by value.
    program: dict[str, Any] = {"__name__": "udfbody"}
    exec(code, program)
    made: Callable[..., Any] = program[name]
    return made
