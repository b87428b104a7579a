"""The users' Python functions as functions of the warehouse: one program, the same wherever it
runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from controlplane.base import naming, template
from controlplane.base.ports import Statement
from controlplane.manifest.specs import CalculationSpec
from controlplane.sql.dialects import Dialect
from controlplane.sql.statements import split


def body(spec: CalculationSpec) -> str:
    """The Python of a realtime feature, whose `plane_value` takes its inputs in order."""
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
    """The SQL of a realtime feature over the columns that it needs.

    `types` has the type of each.
    """
    arguments = []
    for name in spec.inputs:
        column, taken = d.quote(name), d.function_type(types[name])
        arguments.append(column if taken == d.type(types[name]) else f"CAST({column} AS {taken})")
    return f"{d.function_name(schema, _name(spec))}({', '.join(arguments)})"


def create(d: Dialect, schema: str, spec: CalculationSpec, types: Mapping[str, str]) -> Statement:
    """The statement that makes the function, for as long as the session lives.

    `types` has the type of each input.
    """
    context = {
        "feature": spec.name,
        "sql_name": d.function_name(schema, _name(spec)),
        "runtime": d.python_runtime,
        "has_handlers": d.has_handlers,
        "sql_type": d.function_type(spec.type),
        "columns": [
            (d.quote(parameter), d.function_type(types[name]))
            for parameter, name in zip(_parameters(spec), spec.inputs, strict=True)
        ],
        "parameters": _parameters(spec),
        "body": body(spec),
    }
    [statement] = split(template.render("sql/function.sql.j2", {"f": context}))
    return statement


def _parameters(spec: CalculationSpec) -> list[str]:
    """What its inputs are called in the program, where no name of a user's may stand in the way of
    another."""
    return [f"plane_{number}" for number, _ in enumerate(spec.inputs, start=1)]


def _name(spec: CalculationSpec) -> str:
    return naming.function(spec.name, hashlib.sha256(body(spec).encode()).hexdigest()[:8])
