"""The users' Python functions as functions of the warehouse.

The program is the same in every warehouse and in the serving process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from controlplane.base import naming, template
from controlplane.base.ports import Function, Statement
from controlplane.manifest.specs import CalculationSpec
from controlplane.sql.dialects import Dialect


def body(spec: CalculationSpec) -> str:
    """Render the Python of a realtime feature; its `plane_value` takes the inputs in order."""
    names = _parameters(spec)
    context = {
        "name": spec.name,
        "source": spec.python,
        "what": f"realtime feature {spec.name!r}",
        "type": spec.type,
        "parameters": names,
        "arguments": [f"plane_given({name})" for name in names],
    }
    return template.render("python/function.py.j2", {"f": context}).rstrip("\n")


def called(d: Dialect, schema: str, spec: CalculationSpec, types: Mapping[str, str]) -> str:
    """Render the call of a realtime feature over its input columns; `types` are theirs."""
    arguments = []
    for name in spec.inputs:
        column, parameter_type = d.quote(name), d.function_type(types[name])
        is_exact = parameter_type == d.type(types[name])
        arguments.append(column if is_exact else f"CAST({column} AS {parameter_type})")
    return f"{d.function_name(schema, _name(spec))}({', '.join(arguments)})"


def create(d: Dialect, schema: str, spec: CalculationSpec, types: Mapping[str, str]) -> Statement:
    """Return the statement that creates the function; `types` has the type of each input.

    Where the warehouse knows temporary functions, the function ends with the session.
    """
    parameters, program = _parameters(spec), body(spec)
    columns = [
        (d.quote(parameter), d.function_type(types[name]))
        for parameter, name in zip(parameters, spec.inputs, strict=True)
    ]
    function = Function(
        name=d.function_name(schema, _name(spec)),
        parameters=tuple(parameter_type for _, parameter_type in columns),
        returns=d.function_type(spec.type),
        handler="plane_value",
        program=program,
    )
    context = {
        "function": function,
        "runtime": d.python_runtime,
        "has_handlers": d.has_handlers,
        "columns": columns,
        "parameters": parameters,
    }
    sql = template.render("sql/function.sql.j2", {"f": context}).strip()
    name = f"create the function of {spec.name}"
    return Statement(name, sql, "create_function", function.name, function=function)


def _parameters(spec: CalculationSpec) -> list[str]:
    """Name the parameters of the program."""
    # Users' names could be keywords of Python, or names that the function itself uses.
    return [f"plane_{number}" for number, _ in enumerate(spec.inputs, start=1)]


def _name(spec: CalculationSpec) -> str:
    return naming.function(spec.name, hashlib.sha256(body(spec).encode()).hexdigest()[:8])
