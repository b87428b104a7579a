"""Which columns of a query are arrays without a type of their items.

Snowflake has two kinds of arrays, and DuckDB one: what ARRAY_AGG and ARRAY_CONSTRUCT give has no
item type until it is cast to ARRAY(type). Such a one is refused where it would be stored, and comes
out of a query as JSON text.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope

from tests.endpoints.snowflake.errors import SnowflakeError
from tests.endpoints.snowflake.names import exact

_MADE = exp.Array | exp.ArrayAgg
_OF_ITS_PARTS = (
    exp.Alias, exp.ArrayAppend, exp.ArrayConcat, exp.ArrayDistinct, exp.ArrayFilter, exp.ArraySlice, exp.ArraySort,
    exp.Case, exp.Coalesce, exp.Flatten, exp.If, exp.Nullif, exp.Paren, exp.Transform, exp.Window, exp.WithinGroup,
)  # fmt: skip
"""What has no item type if one of its parts has none."""

Told = dict[Scope, dict[str, bool]]


def untyped(query: exp.Expr) -> set[str]:
    """The exact names of the columns that are arrays without an item type."""
    if not query.find(exp.Array, exp.ArrayAgg):
        return set()
    scope = build_scope(query)
    return (
        {name for name, loose in _outputs(scope, {}).items() if loose}
        if scope is not None
        else set()
    )


def refuse_untyped(query: exp.Expr) -> None:
    """Such an array can't be stored: tables here have arrays with a type alone."""
    if names := untyped(query):
        text = (
            "Expression type does not match column data type, expecting ARRAY(type) but got ARRAY"
            " for column"
        )
        raise SnowflakeError(
            2023, "22000", f"SQL compilation error:\n{text} {', '.join(sorted(names))}"
        )


def _outputs(scope: Scope, told: Told) -> dict[str, bool]:
    """The columns of a scope, and whether each is such an array.

    `told` are the scopes that were asked before.
    """
    if scope not in told:
        told[scope] = _told(scope, told)
    return told[scope]


def _told(scope: Scope, told: Told) -> dict[str, bool]:
    if scope.set_operation_scopes:
        left, right = (_outputs(part, told) for part in scope.set_operation_scopes)
        return {
            name: loose or other
            for (name, loose), other in zip(left.items(), right.values(), strict=False)
        }
    found: dict[str, bool] = {}
    query = scope.expression
    for place in query.expressions if isinstance(query, exp.Select) else []:
        if isinstance(place, exp.Star) or (
            isinstance(place, exp.Column) and isinstance(place.this, exp.Star)
        ):
            for source in _sources(scope, place.args.get("table")):
                found |= _outputs(source, told)
            continue
        name = place.args.get("alias") or place.this
        found[
            exact(name) if isinstance(name, exp.Identifier) else place.sql("snowflake").upper()
        ] = _loose(place, scope, told)
    return found


def _sources(scope: Scope, name: exp.Identifier | None) -> list[Scope]:
    named = {
        key: source
        for key, (_, source) in scope.selected_sources.items()
        if isinstance(source, Scope)
    }
    return [
        source for key, source in named.items() if name is None or key.upper() == name.name.upper()
    ]


def _loose(node: exp.Expr | None, scope: Scope, told: Told) -> bool:
    if isinstance(node, _MADE):
        return True
    if isinstance(node, exp.Column):
        name = exact(node.this)
        return any(
            _outputs(source, told).get(name, False)
            for source in _sources(scope, node.args.get("table"))
        )
    if not isinstance(node, _OF_ITS_PARTS):
        return False
    values = (
        part
        for value in node.args.values()
        for part in (value if isinstance(value, list) else [value])
    )
    return any(_loose(part, scope, told) for part in values if isinstance(part, exp.Expr))
