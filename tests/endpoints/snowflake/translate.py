"""Queries and changes of rows: from Snowflake's SQL to DuckDB's, as syntax trees."""

from __future__ import annotations

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.duckdb import DuckDB

from tests.endpoints.snowflake.context import Context, call, cast, literal
from tests.endpoints.snowflake.errors import SnowflakeError, unsupported
from tests.endpoints.snowflake.functions import HANDLERS, SAME
from tests.endpoints.snowflake.names import store_all

_STRUCTURE = SAME | {
    exp.Alias, exp.CTE, exp.Column, exp.Cube, exp.DataType, exp.DataTypeParam, exp.Delete, exp.Except, exp.Explode,
    exp.From, exp.Generator, exp.Group, exp.Having, exp.Identifier, exp.Insert, exp.Intersect, exp.JSONKeyValue,
    exp.JSONPath, exp.JSONPathKey, exp.JSONPathRoot, exp.JSONPathSubscript, exp.Join, exp.Kwarg, exp.Lateral, exp.Limit,
    exp.Merge, exp.Offset, exp.Order, exp.Ordered, exp.PropertyEQ, exp.Qualify, exp.Rollup, exp.Schema, exp.Select,
    exp.Star, exp.Subquery, exp.Table, exp.TableAlias, exp.TableFromRows, exp.Union, exp.Update, exp.Values, exp.When,
    exp.Whens, exp.Where, exp.With, exp.ColumnDef,
}  # fmt: skip
_PARTS_OF_A_TABLE = {"this", "db", "catalog", "alias", "joins", "laterals"}
_FLATTENED = ("SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS")
_SEQUENCE = "PLANE__SEQUENCE"
_NOT_OVER_WINDOWS = (exp.ArgMax, exp.ArgMin)
_BY_HAND = exp.Avg | exp.ArrayAgg | exp.GroupConcat
"""Aggregates that become more than a call, so that they are replaced with the window around
them."""

_WRITER = DuckDB().generator(
    identify=False, normalize_functions=False, unsupported_level=ErrorLevel.RAISE
)


def written(tree: exp.Expr) -> str:
    """DuckDB's text of a translated tree, which is of no use afterwards."""
    text: str = _WRITER.generate(tree, copy=False)
    return text


def translated(tree: exp.Expr, context: Context) -> exp.Expr:
    """The tree in DuckDB's words; it is changed in place.

    Raises:
        SnowflakeError: it holds what is not known here.
    """
    _check(tree)
    root = exp.Paren(this=tree)  # so that the tree itself can be replaced
    _name_results(root)
    for node in list(
        root.find_all(exp.Lateral, exp.TableFromRows, exp.Values, exp.Join, exp.Table)
    ):
        _source(node)
    for node in reversed(list(root.walk(bfs=True))):
        if (made := _made(node, context)) is not node:
            node.replace(made)
    store_all(root)
    found: exp.Expr = root.this
    return found


def _check(tree: exp.Expr) -> None:
    for node in tree.walk():
        kind = type(node)
        if kind not in _STRUCTURE and kind not in HANDLERS:
            raise unsupported(f"{kind.__name__}: {node.sql('snowflake')[:100]}")
        if kind is exp.Table:
            strange = {part for part, value in node.args.items() if value} - _PARTS_OF_A_TABLE
            if strange:
                raise unsupported(f"{', '.join(strange)} of a table")
        elif kind is exp.Distinct and node.args.get("on"):
            raise SnowflakeError(
                1003, "42000", "SQL compilation error:\nsyntax error: unexpected 'ON'."
            )
        elif kind is exp.Window and isinstance(node.this, _NOT_OVER_WINDOWS):
            raise unsupported(f"{node.this.sql('snowflake')} as a window function")


def _name_results(root: exp.Expr) -> None:
    """An expression without a name has its own text for one."""
    for select in root.find_all(exp.Select):
        for place in select.expressions:
            if not isinstance(place, exp.Alias | exp.Column | exp.Star):
                name = exp.to_identifier(place.sql("snowflake").upper(), quoted=True)
                place.replace(exp.Alias(this=place.copy(), alias=name))


def _source(node: exp.Expr) -> None:
    """What stands in FROM and is not simply there in DuckDB."""
    if isinstance(node, exp.Join):
        _as_of(node)
    elif isinstance(node, exp.Lateral):
        _lateral(node)
    elif isinstance(node, exp.TableFromRows):
        alias = node.args.get("alias")
        if isinstance(node.this, exp.Generator):
            node.replace(_generated(node.this, alias))
        elif isinstance(node.this, exp.Explode):
            node.replace(exp.Subquery(this=_flattened(node.this)[0], alias=_plain(alias)))
        else:
            raise unsupported(node.sql("snowflake"))
    elif isinstance(node, exp.Values) and isinstance(node.parent, exp.From | exp.Join):
        _named_values(node)


def _as_of(join: exp.Join) -> None:
    condition = join.args.get("match_condition")
    if str(join.args.get("method") or "").upper() != "ASOF":
        return
    if condition is None:
        raise SnowflakeError(
            1003,
            "42000",
            "SQL compilation error:\nsyntax error: ASOF JOIN without MATCH_CONDITION.",
        )
    if join.args.get("using"):
        raise unsupported("ASOF JOIN ... USING")
    while isinstance(condition, exp.Paren):
        condition = condition.this
    _refuse_other_matches(condition, join.args.get("on"))
    join.set("match_condition", None)
    join.set("side", "LEFT")
    join.set("on", exp.and_(join.args.get("on"), condition.copy()))


def _refuse_other_matches(condition: exp.Expr, on: exp.Expr | None) -> None:
    """An as-of join compares two times, and all else is equal."""
    parts = on.flatten() if isinstance(on, exp.And) else [on]
    equal = on is None or all(isinstance(part, exp.EQ) for part in parts)
    if not isinstance(condition, exp.GTE | exp.GT | exp.LTE | exp.LT) or not equal:
        raise SnowflakeError(
            1003,
            "42000",
            "SQL compilation error:\nASOF JOIN: one comparison to match, equalities in ON.",
        )


def _lateral(lateral: exp.Lateral) -> None:
    if not isinstance(lateral.this, exp.Explode):
        if not isinstance(lateral.this, exp.Subquery):
            raise unsupported(lateral.sql("snowflake"))
        return
    rows, outer = _flattened(lateral.this)
    source = exp.Lateral(this=exp.Subquery(this=rows), alias=_plain(lateral.args.get("alias")))
    join = lateral.parent
    if not isinstance(join, exp.Join):
        raise unsupported(lateral.sql("snowflake"))
    if outer:
        join.set("side", "LEFT")
        join.set("on", exp.true())
    elif not join.args.get("on"):
        join.set("kind", "CROSS")
    lateral.replace(source)


def _flattened(call_: exp.Explode) -> tuple[exp.Select, bool]:
    """FLATTEN as a query, and whether it gives a row for nothing too."""
    given = {
        part.this.name.upper(): part.expression
        for part in (call_.this, *call_.expressions)
        if isinstance(part, exp.Kwarg)
    }
    if set(given) - {"INPUT", "OUTER"} or "INPUT" not in given:
        raise unsupported(call_.sql("snowflake"))
    outer = given.get("OUTER")
    items = given["INPUT"]
    place = _known(call("generate_subscripts", items.copy(), 1))
    parts = {
        "SEQ": literal(1),
        "KEY": exp.Null(),
        "PATH": exp.Null(),
        "INDEX": exp.Sub(this=place, expression=literal(1)),
        "VALUE": _known(call("unnest", items.copy())),
        "THIS": items.copy(),
    }
    return exp.select(
        *(exp.alias_(value, name, quoted=True) for name, value in parts.items())
    ), bool(outer and outer.this)


def _known(made: exp.Expr) -> exp.Expr:
    """Mark what is DuckDB's already."""
    made.meta["known"] = True
    return made


def _plain(alias: exp.TableAlias | None) -> exp.TableAlias | None:
    """An alias without the names of columns that the parser put there for FLATTEN."""
    if alias is None:
        return None
    columns = [] if [column.name for column in alias.columns] == list(_FLATTENED) else alias.columns
    return exp.TableAlias(this=alias.this, columns=columns)


def _generated(rows: exp.Generator, alias: exp.TableAlias | None) -> exp.Expr:
    count = rows.args.get("rowcount")
    if count is None:
        raise unsupported("GENERATOR without ROWCOUNT")
    numbers = _known(call("unnest", _known(call("range", _known(cast(count, "BIGINT"))))))
    return exp.Subquery(
        this=exp.select(exp.alias_(numbers, _SEQUENCE, quoted=True)),
        alias=_plain(alias)
        or exp.TableAlias(this=exp.to_identifier("PLANE__GENERATOR", quoted=True)),
    )


def _named_values(values: exp.Values) -> None:
    alias = values.args.get("alias")
    if alias is not None and alias.columns:
        return
    first = values.expressions[0]
    width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
    columns = [exp.to_identifier(f"COLUMN{number}", quoted=True) for number in range(1, width + 1)]
    name = (
        alias.this
        if alias is not None and alias.this is not None
        else exp.to_identifier(f"VALUES_{id(values)}", quoted=True)
    )
    values.set("alias", exp.TableAlias(this=name, columns=columns))


def _made(node: exp.Expr, context: Context) -> exp.Expr:
    if node.meta.get("known"):
        return node
    if isinstance(node, exp.Seq4 | exp.Seq8):
        return _sequence(node)
    if isinstance(node, exp.Window):
        return _windowed(node)
    if isinstance(node, exp.WithinGroup | _BY_HAND):
        inside = isinstance(node.parent, exp.Window | exp.WithinGroup)
        return node if inside else _aggregated(node, None)
    if isinstance(node, exp.Update | exp.Merge):
        _unqualified_targets(node)
    handler = HANDLERS.get(type(node))
    return node if handler is None else handler(node, context)


def _sequence(node: exp.Expr) -> exp.Expr:
    select = node.find_ancestor(exp.Select)
    source = select.args.get("from_") if select is not None else None
    if source is None or not source.find(exp.Subquery):
        raise unsupported("SEQ4 without a GENERATOR")
    return exp.column(_SEQUENCE, quoted=True)


def _windowed(window: exp.Window) -> exp.Expr:
    aggregate = window.this
    if isinstance(aggregate, exp.WithinGroup | _BY_HAND):
        return _aggregated(aggregate, window)
    return window


def _aggregated(node: exp.Expr, window: exp.Window | None) -> exp.Expr:
    """An aggregate that is more than a call, over its window if it has one."""

    def over(made: exp.Expr) -> exp.Expr:
        if window is None:
            return made
        copy = window.copy()
        copy.set("this", made)
        return copy

    order = node.expression if isinstance(node, exp.WithinGroup) else None
    aggregate = node.this if isinstance(node, exp.WithinGroup) else node
    if isinstance(aggregate, exp.Avg):
        example = (
            aggregate.this.expressions[0]
            if isinstance(aggregate.this, exp.Distinct)
            else aggregate.this
        )
        return call(
            "sf_average", over(call("avg", aggregate.this)), over(call("min", example.copy()))
        )
    if isinstance(aggregate, exp.ArrayAgg):
        value = aggregate.this
        distinct = isinstance(value, exp.Distinct)
        if distinct and window is not None and window.args.get("order"):
            raise unsupported("DISTINCT in a window that is ordered")
        tested = value.expressions[0] if distinct else value
        items = exp.Order(this=value, expressions=order.expressions) if order is not None else value
        there = exp.Where(this=exp.Not(this=exp.Is(this=tested.copy(), expression=exp.Null())))
        return exp.Coalesce(
            this=over(exp.Filter(this=call("list", items), expression=there)),
            expressions=[exp.Array()],
        )
    if isinstance(aggregate, exp.GroupConcat):
        text, separator = aggregate.this, aggregate.args.get("separator") or literal("")
        if isinstance(text, exp.Order):
            separator, text = exp.Order(this=separator, expressions=text.expressions), text.this
        return exp.Coalesce(
            this=over(call("string_agg", text, separator)), expressions=[literal("")]
        )
    raise unsupported(node.sql("snowflake"))


def _unqualified_targets(change: exp.Expr) -> None:
    """`SET x.a = ...`: DuckDB knows which table it is and wants the column alone."""
    for assignment in change.expressions if isinstance(change, exp.Update) else []:
        assignment.this.set("table", None)
