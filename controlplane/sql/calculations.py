"""The SQL of calculations: over the finished rows of a training set, and over rows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controlplane.base import naming
from controlplane.base.ports import Function, Statement
from controlplane.manifest.specs import CalculationSpec, Manifest, ServiceSpec
from controlplane.sql.dialects import DUCKDB, Dialect
from controlplane.sql.functions import called, create
from controlplane.sql.ranges import Owner, whole


def added(
    d: Dialect,
    schema: str,
    rows: str,
    calculations: Sequence[CalculationSpec],
    types: Mapping[str, str],
    owner: Owner | None = None,
) -> str:
    """Render a query that adds each calculation as a column to the rows of a relation.

    Args:
        d: the dialect.
        schema: the schema that holds the functions of realtime features.
        rows: the relation.
        calculations: what is computed, in order.
        types: the type of every feature and request field that the calculations read.
        owner: whose calculations they are, for errors. With an owner, a whole number beyond int64
            stops the statement even where the warehouse could store it.
    """
    query = rows
    for number, calculation in enumerate(calculations):
        # A calculation may read earlier ones, and SQL can't read an alias of its own SELECT list.
        relation = query if number == 0 else f"({query}\n)"
        # The line break ends a comment at the end of the user's expression.
        expression = f"({calculation.expression}\n)"
        sql = called(d, schema, calculation, types) if calculation.python else expression
        value = d.from_user(sql, calculation.type)
        if owner is not None:
            label = f"calculation '{calculation.name}' ({calculation.type})"
            value = whole(sql, calculation.type, label, owner, d) or value
        query = f"SELECT *, {value} AS {d.quote(calculation.name)} FROM {relation} AS rows"
    return query


def feature_types(manifest: Manifest, service: ServiceSpec) -> dict[str, str]:
    """Return the types of the service's features and calculations by full name, in order."""
    types = {}
    for view_name, feature_name in service.features:
        feature = next(f for f in manifest.view(view_name).features if f.name == feature_name)
        types[naming.feature(view_name, feature_name)] = feature.type
    return types | {c.name: c.type for c in service.calculations}


def owner_of(service: ServiceSpec) -> Owner:
    """Return the owner that errors name for the calculations of a service."""
    return Owner(f"feature service '{service.name}'")


def functions(d: Dialect, manifest: Manifest, service: ServiceSpec) -> list[Statement]:
    """List the statements that create the functions of the service's realtime features."""
    types = request_types(service) | feature_types(manifest, service)
    return [create(d, manifest.schema, c, types) for c in service.calculations if c.python]


def request_types(service: ServiceSpec) -> dict[str, str]:
    """Return the types of the service's request fields by name, in order."""
    return {field.name: field.type for field in service.request}


class InMemory(NamedTuple):
    """A query of the embedded DuckDB that computes the calculations of rows in memory.

    Args:
        inputs: the features and request fields that it reads. Each is a parameter: a list with one
            item for each row.
        query: see `ports.Calculator`.
        functions: the functions of realtime features that it calls.
    """

    inputs: tuple[str, ...]
    query: str
    functions: tuple[Function, ...]


def in_memory(manifest: Manifest, service: ServiceSpec) -> InMemory:
    """Render the query that computes the service's calculations over rows in memory."""
    d, types = DUCKDB, request_types(service) | feature_types(manifest, service)
    calculated = {c.name for c in service.calculations}
    needed = {name for c in service.calculations for name in c.inputs if name not in calculated}
    inputs = tuple(name for name in types if name in needed)
    # One parameter for each input, a list: the prepared query is the same for any number of rows.
    lists = [
        f"unnest(CAST(${n} AS {d.type(types[name])}[])) AS {d.quote(name)}"
        for n, name in enumerate(inputs, 1)
    ]
    # Calculations without inputs still need one row for each row in memory.
    lists = lists or ["unnest(CAST($1 AS BOOLEAN[])) AS plane_row"]
    query = added(d, manifest.schema, f"(SELECT {', '.join(lists)})", service.calculations, types)
    names = ", ".join(d.quote(c.name) for c in service.calculations)
    statements = functions(d, manifest, service)
    needed_functions = tuple(s.function for s in statements if s.function is not None)
    return InMemory(inputs, f"SELECT {names} FROM ({query}\n) AS rows", needed_functions)
