"""The SQL of calculations: over the finished rows of a training set, and over rows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.base import naming
from controlplane.base.ports import Statement
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
    """A query: the rows of a relation, with each calculation as one column more.

    One may need those before it, so each is a query over the last.

    Args:
        d: the dialect.
        schema: has the functions.
        rows: the relation.
        calculations: what is computed, in order.
        types: of whatever they need.
        owner: whose they are. If it is given, a whole number beyond int64 is an error also where
            the warehouse stores it.
    """
    query = rows
    for number, one in enumerate(calculations):
        relation = query if number == 0 else f"({query}\n)"
        written = f"({one.expression}\n)"  # users may end one with a comment
        sql = called(d, schema, one, types) if one.python else written
        value = d.given(sql, one.type)
        if owner is not None:
            value = (
                whole(sql, one.type, f"calculation '{one.name}' ({one.type})", owner, d) or value
            )
        query = f"SELECT *, {value} AS {d.quote(one.name)} FROM {relation} AS rows"
    return query


def kinds(manifest: Manifest, service: ServiceSpec) -> dict[str, str]:
    """The type of every feature of the service and of its calculations, by full name, in order."""
    found = {}
    for view_name, feature_name in service.features:
        feature = next(f for f in manifest.view(view_name).features if f.name == feature_name)
        found[naming.feature(view_name, feature_name)] = feature.type
    return found | {c.name: c.type for c in service.calculations}


def owner_of(service: ServiceSpec) -> Owner:
    """Whose the calculations of a service are, as errors say it."""
    return Owner(f"feature service '{service.name}'")


def functions(d: Dialect, manifest: Manifest, service: ServiceSpec) -> list[Statement]:
    """The statements that make the functions of the service's realtime features."""
    types = given(service) | kinds(manifest, service)
    return [create(d, manifest.schema, one, types) for one in service.calculations if one.python]


def given(service: ServiceSpec) -> dict[str, str]:
    """The type of every request field of the service, by name, in order."""
    return {one.name: one.type for one in service.request}


def in_memory(manifest: Manifest, service: ServiceSpec) -> tuple[tuple[str, ...], str]:
    """The features and request fields that the service's calculations need, and a query of the
    embedded DuckDB.

    It takes one list for each of these, with one item for each row, and gives the calculations of
    each row.
    """
    d, types = DUCKDB, given(service) | kinds(manifest, service)
    calculated = {c.name for c in service.calculations}
    needed = {name for c in service.calculations for name in c.inputs if name not in calculated}
    inputs = tuple(name for name in types if name in needed)
    lists = [
        f"unnest(CAST(${n} AS {d.type(types[name])}[])) AS {d.quote(name)}"
        for n, name in enumerate(inputs, 1)
    ]
    # Also where nothing is needed, there is a row for each item.
    lists = lists or ["unnest(CAST($1 AS BOOLEAN[])) AS plane_row"]
    query = added(d, manifest.schema, f"(SELECT {', '.join(lists)})", service.calculations, types)
    names = ", ".join(d.quote(c.name) for c in service.calculations)
    return inputs, f"SELECT {names} FROM ({query}\n) AS rows"
