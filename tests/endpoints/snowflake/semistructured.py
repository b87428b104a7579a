"""Functions of arrays and objects, which Snowflake calls semi-structured data."""

from __future__ import annotations

from sqlglot import exp

from tests.endpoints.snowflake.context import (
    Context,
    Handler,
    call,
    cast,
    literal,
    named,
    null_if_any_null,
)
from tests.endpoints.snowflake.errors import unsupported

JSON_GET, JSON_TEXT, MEMBER = "json_extract", "json_extract_string", "variant_extract"


def _strict(name: str, *arguments: str) -> Handler:
    """A function of lists that gives null where an argument is null."""

    def handle(node: exp.Expr, context: Context) -> exp.Expr:
        found = named(name, *arguments)(node, context)
        return null_if_any_null(found.expressions[:1], found)

    return handle


def _array_concat(node: exp.Expr, _: Context) -> exp.Expr:
    arguments = [node.this, *node.expressions]
    return null_if_any_null(arguments, call("list_concat", *arguments))


def _array_sort(node: exp.Expr, _: Context) -> exp.Expr:
    given = [node.args.get(name) for name in ("asc", "nulls_first")]
    if any(value is not None and not isinstance(value, exp.Boolean) for value in given):
        raise unsupported(node.sql("snowflake"))
    ascending, nulls_first = (
        given[0] is None or given[0].this,
        given[1] is not None and given[1].this,
    )
    return call(
        "list_sort",
        node.this,
        "ASC" if ascending else "DESC",
        f"NULLS {'FIRST' if nulls_first else 'LAST'}",
    )


def _item(container: exp.Expr, place: exp.Expr) -> exp.Expr:
    if isinstance(place, exp.Literal) and place.is_string:
        return call(JSON_GET, container, f'$."{place.this}"')
    return call("sf_item", container, place)


def _get(node: exp.Expr, _: Context) -> exp.Expr:
    place = node.expression
    if isinstance(place, exp.Literal) and place.is_string:
        return call(MEMBER, cast(node.this, "VARIANT"), place.this)
    return _item(node.this, place)


def _reduce(node: exp.Expr, _: Context) -> exp.Expr:
    """A list may be made of another: each item is a list of its own then, since DuckDB's two have
    one type."""
    items, initial, merge = node.this, node.args["initial"], node.args["merge"]
    if initial.find(exp.Null):
        return call("list_reduce", items, merge)  # what comes first is what was made so far
    if not isinstance(initial, exp.Array) or initial.expressions:
        return call("list_reduce", items, merge, initial)
    item = merge.expressions[1]
    for used in list(merge.this.find_all(exp.Identifier)):
        if used.name == item.name:
            used.replace(call("list_extract", item.copy(), 1))
    single = exp.Lambda(this=exp.Array(expressions=[item.copy()]), expressions=[item.copy()])
    return call("list_reduce", call("list_transform", items, single), merge)


def _array_remove(node: exp.Expr, _: Context) -> exp.Expr:
    different = exp.NullSafeNEQ(this=exp.to_identifier("ITEM"), expression=node.expression)
    return call(
        "list_filter",
        node.this,
        exp.Lambda(this=different, expressions=[exp.to_identifier("ITEM")]),
    )


def _bracket(node: exp.Expr, _: Context) -> exp.Expr:
    [place] = node.expressions
    return _item(node.this, place)


def _path(node: exp.Expr, _: Context) -> exp.Expr:
    steps = ["$"]
    for step in node.expression.expressions:
        if isinstance(step, exp.JSONPathKey):
            steps.append(f'."{step.this}"')
        elif isinstance(step, exp.JSONPathSubscript):
            steps.append(f"[{step.this}]")
        elif not isinstance(step, exp.JSONPathRoot):
            raise unsupported(node.sql("snowflake"))
    return call(JSON_GET, node.this, "".join(steps))


def _object(node: exp.Expr, _: Context) -> exp.Expr:
    pairs: list[exp.Expr] = []
    for pair in node.expressions:
        key = pair.this
        pairs += [literal(key.name) if isinstance(key, exp.Identifier) else key, pair.expression]
    if isinstance(node, exp.JSONObject):  # OBJECT_CONSTRUCT_KEEP_NULL: its values keep their types
        return cast(
            exp.Struct(expressions=[_field(key, value) for key, value in pairwise_of(pairs)]),
            "VARIANT",
        )
    return call("json_merge_patch", "{}", call("json_object", *pairs))


def _field(key: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.PropertyEQ(this=exp.to_identifier(key.name, quoted=True), expression=value)


def pairwise_of(items: list[exp.Expr]) -> list[tuple[exp.Expr, exp.Expr]]:
    """Every two that follow each other."""
    return list(zip(items[::2], items[1::2], strict=True))


_NAMES: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.ArraySize: ("len",),
    exp.ArraySlice: ("sf_slice", "this", "start", "end"),
    exp.ArrayDistinct: ("sf_distinct",),
    exp.Flatten: ("sf_flatten",),
    exp.ArrayContains: ("sf_contains", "expression", "this"),
    exp.ArrayPosition: ("sf_position", "expression", "this"),
    exp.ArrayMin: ("list_min",),
    exp.ArrayMax: ("list_max",),
    exp.ArrayFilter: ("list_filter", "this", "expression"),
    exp.Transform: ("list_transform", "this", "expression"),
    exp.ArrayToString: ("array_to_string", "this", "expression"),
}
HANDLERS: dict[type[exp.Expr], Handler] = {
    **{kind: named(*words) for kind, words in _NAMES.items()},
    exp.ArrayAppend: _strict("list_append", "this", "expression"),
    exp.ArrayConcat: _array_concat,
    exp.ArrayRemove: _array_remove,
    exp.ArraySort: _array_sort,
    exp.Bracket: _bracket,
    exp.GetExtract: _get,
    exp.JSONExtract: _path,
    exp.JSONObject: _object,
    exp.ParseJSON: lambda node, _: cast(node.this, "JSON"),
    exp.Reduce: _reduce,
    exp.Struct: _object,
}
