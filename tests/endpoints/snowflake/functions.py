"""Functions and operators: what each of Snowflake's is in DuckDB.

One that stands in no table here is refused.
"""

from __future__ import annotations

import re

from sqlglot import exp

from tests.endpoints.snowflake import dates, python_functions, semistructured
from tests.endpoints.snowflake.context import (
    Context,
    Handler,
    call,
    cast,
    literal,
    named,
    null_if_any_null,
)
from tests.endpoints.snowflake.errors import SnowflakeError, unknown_function, unsupported
from tests.endpoints.snowflake.semistructured import JSON_GET, JSON_TEXT, MEMBER
from tests.endpoints.snowflake.types import Kind, duckdb_type


def to_cast(kind: exp.DataType, value: exp.Expr, *, safe: bool = False) -> exp.Expr:
    """A value as one of a type of Snowflake's."""
    if kind.this == Kind.ARRAY and not kind.expressions:
        return value  # lists have types here, whatever their own
    wanted = duckdb_type(kind)
    if isinstance(value, exp.Anonymous) and value.this == MEMBER:
        return cast(value, wanted)
    if isinstance(value, exp.Anonymous) and value.this == JSON_GET and wanted != "JSON":
        value = call(JSON_TEXT, *value.expressions)
    if wanted == "VARIANT":
        return cast(value, wanted)
    if wanted == "JSON":
        return call("to_json", value)
    if isinstance(value, exp.Literal) and value.is_string and wanted == "TIMESTAMPTZ":
        # DuckDB wants no space before the offset.
        value = literal(re.sub(r" (?=[+-]\d\d:?\d\d$)", "", value.this))
    if safe or (
        isinstance(value, exp.Literal) and value.is_string and wanted not in ("BLOB", "HUGEINT")
    ):
        return cast(value, wanted, safe=safe)
    if wanted == "VARCHAR":
        return call("sf_text", value)
    if wanted == "BLOB":
        return call("sf_binary", value)
    if wanted == "HUGEINT":
        return call("sf_integer", value)
    return cast(call("sf_integer", value) if wanted.endswith(",0)") else value, wanted)


def _cast(node: exp.Expr, _: Context) -> exp.Expr:
    return to_cast(node.args["to"], node.this)


def _try_cast(node: exp.Expr, _: Context) -> exp.Expr:
    return to_cast(node.args["to"], node.this, safe=True)


def _to_number(node: exp.Expr, _: Context) -> exp.Expr:
    pattern = node.args.get("format")
    if pattern is not None:
        if not pattern.name or set(pattern.name.upper()) != {"X"}:
            raise unsupported(f"format {pattern.name}")
        return call("sf_hex_number", node.this)
    kind = exp.DataType(
        this=Kind.DECIMAL,
        expressions=[exp.DataTypeParam(this=node.args[n]) for n in ("precision", "scale")],
    )
    return to_cast(kind, node.this, safe=bool(node.args.get("safe")))


def _to_char(node: exp.Expr, _: Context) -> exp.Expr:
    pattern = node.args.get("format")
    return (
        call("sf_text", node.this) if pattern is None else dates.formatted(node.this, pattern.name)
    )


def _to_binary(node: exp.Expr, _: Context) -> exp.Expr:
    pattern = node.args.get("format")
    how = pattern.name.upper() if pattern is not None else "HEX"
    if how not in ("HEX", "UTF-8", "UTF8"):
        raise unsupported(f"TO_BINARY with {how}")
    return call("unhex" if how == "HEX" else "encode", node.this)


def _extreme(name: str) -> Handler:
    def handle(node: exp.Expr, _: Context) -> exp.Expr:
        arguments = [node.this, *node.expressions]
        found = call(name, *arguments)
        return found if node.args.get("ignore_nulls") else null_if_any_null(arguments, found)

    return handle


def _arithmetic(node: exp.Expr, _: Context) -> exp.Expr:
    for side in ("this", "expression"):
        value = node.args[side]
        if isinstance(value, exp.Literal) and value.is_int:
            node.set(side, cast(value.copy(), "HUGEINT"))  # DuckDB's literals have 32 bits
    return node


def _concat(node: exp.Expr, _: Context) -> exp.Expr:
    first, *rest = node.expressions
    for part in rest:
        first = exp.DPipe(this=first, expression=part)
    return exp.Paren(this=first)


def _current(word: str) -> Handler:
    def handle(_: exp.Expr, context: Context) -> exp.Expr:
        return literal(context.says.get(word))

    return handle


def _function(node: exp.Expr, context: Context) -> exp.Expr:
    if isinstance(node.parent, exp.Dot):
        return node  # one of a schema
    name = str(node.this).upper()
    if name == "TO_TIMESTAMP_NTZ" and len(node.expressions) == 1:
        return cast(node.expressions[0], "TIMESTAMP")
    if name == "HASH" and node.expressions:
        # Of 64 bits, as Snowflake's is, which has a sign.
        positive = cast(call("hash", *node.expressions), "HUGEINT")
        return cast(
            exp.Paren(this=exp.Sub(this=positive, expression=cast(literal(str(2**63)), "HUGEINT"))),
            "DECIMAL(19, 0)",
        )
    raise unknown_function(name)


def _count(node: exp.Expr, _: Context) -> exp.Expr:
    if node.expressions:
        raise unsupported("COUNT of several columns")
    return node


def _substring(node: exp.Expr, _: Context) -> exp.Expr:
    length = node.args.get("length")
    ends = [cast(length, "BIGINT")] if length is not None else []
    return call("substr", node.this, call("sf_start", node.args["start"]), *ends)


def _side(name: str) -> Handler:
    return lambda node, _: call(name, node.this, cast(node.expression, "BIGINT"))


def _round(node: exp.Expr, _: Context) -> exp.Expr:
    digits = node.args.get("decimals")
    return call("round", node.this, *([cast(digits, "INTEGER")] if digits is not None else []))


def _whole(name: str) -> Handler:
    def handle(node: exp.Expr, _: Context) -> exp.Expr:
        if node.args.get("decimals") is not None:
            raise unsupported(node.sql("snowflake"))
        return call(name, node.this)

    return handle


def _arg_extreme(name: str) -> Handler:
    def handle(node: exp.Expr, _: Context) -> exp.Expr:
        if node.args.get("count") is not None:
            raise unsupported("the n greatest or least of MAX_BY or MIN_BY")
        return call(name, node.this, node.expression)

    return handle


def _sha2(node: exp.Expr, _: Context) -> exp.Expr:
    if node.args.get("length") is not None and node.args["length"].name != "256":
        raise unsupported("SHA2 of another length than 256")
    return call("sha256", node.this)


def _filter(node: exp.Expr, _: Context) -> exp.Expr:
    raise SnowflakeError(
        1003, "42000", "SQL compilation error:\nsyntax error: unexpected 'FILTER'."
    )


_NAMES: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.CountIf: ("count_if",),
    exp.LogicalOr: ("bool_or",),
    exp.LogicalAnd: ("bool_and",),
    exp.VariancePop: ("var_pop",),
    exp.Variance: ("var_samp",),
    exp.Stddev: ("stddev_samp",),
    exp.StddevPop: ("stddev_pop",),
    exp.AnyValue: ("any_value",),
    exp.Median: ("median",),
    exp.Div: ("sf_div", "this", "expression"),
    exp.Mod: ("sf_mod", "this", "expression"),
    exp.Sign: ("sf_sign",),
    exp.Abs: ("abs",),
    exp.Sqrt: ("sqrt",),
    exp.Ln: ("ln",),
    exp.Exp: ("exp",),
    exp.Pow: ("pow", "this", "expression"),
    exp.MD5: ("md5",),
    exp.MD5NumberLower64: ("md5_number_lower",),
    exp.Hex: ("hex",),
    exp.Unhex: ("unhex",),
    exp.Lower: ("lower",),
    exp.Upper: ("upper",),
    exp.Length: ("length",),
    exp.StartsWith: ("starts_with", "this", "expression"),
    exp.EndsWith: ("suffix", "this", "expression"),
    exp.Contains: ("contains", "this", "expression"),
    exp.Replace: ("replace", "this", "expression", "replacement"),
    exp.StrPosition: ("strpos", "this", "substr"),
    exp.BitwiseXor: ("xor", "this", "expression"),
}
HANDLERS: dict[type[exp.Expr], Handler] = {
    **{kind: named(*words) for kind, words in _NAMES.items()},
    **dates.HANDLERS,
    **semistructured.HANDLERS,
    exp.Add: _arithmetic,
    exp.Sub: _arithmetic,
    exp.Mul: _arithmetic,
    exp.Anonymous: _function,
    exp.ArgMax: _arg_extreme("arg_max_null"),
    exp.ArgMin: _arg_extreme("arg_min_null"),
    exp.Cast: _cast,
    exp.Ceil: _whole("sf_ceil"),
    exp.Concat: _concat,
    exp.Count: _count,
    exp.CurrentAccount: _current("ACCOUNT"),
    exp.CurrentDatabase: _current("DATABASE"),
    exp.CurrentRole: _current("ROLE"),
    exp.CurrentSchema: _current("SCHEMA"),
    exp.CurrentSession: _current("SESSION"),
    exp.CurrentUser: _current("USER"),
    exp.CurrentVersion: _current("VERSION"),
    exp.CurrentWarehouse: _current("WAREHOUSE"),
    exp.Dot: python_functions.called,
    exp.EqualNull: lambda node, _: exp.NullSafeEQ(this=node.this, expression=node.expression),
    exp.Filter: _filter,
    exp.Floor: _whole("sf_floor"),
    exp.Greatest: _extreme("greatest"),
    exp.Least: _extreme("least"),
    exp.Left: _side("left"),
    exp.Right: _side("right"),
    exp.Round: _round,
    exp.SHA2: _sha2,
    exp.Substring: _substring,
    exp.ToBinary: _to_binary,
    exp.ToBoolean: lambda node, _: cast(node.this, "BOOLEAN"),
    exp.ToChar: _to_char,
    exp.ToDouble: lambda node, _: cast(node.this, "DOUBLE"),
    exp.ToNumber: _to_number,
    exp.Trunc: _whole("trunc"),
    exp.TryCast: _try_cast,
    exp.TsOrDsToDate: lambda node, _: cast(node.this, "DATE"),
    exp.Uuid: lambda _, __: cast(call("uuid"), "VARCHAR"),
}
SAME: frozenset[type[exp.Expr]] = frozenset({
    exp.And, exp.Array, exp.ArrayAgg, exp.Avg, exp.Between, exp.BitwiseAnd, exp.BitwiseOr, exp.Boolean, exp.Case,
    exp.Coalesce, exp.CumeDist, exp.DPipe, exp.DenseRank, exp.Distinct, exp.EQ, exp.Escape, exp.Exists,
    exp.FirstValue, exp.GT, exp.GTE, exp.GroupConcat, exp.ILike, exp.If, exp.IgnoreNulls, exp.In, exp.Interval,
    exp.Is, exp.LT, exp.LTE, exp.Lag, exp.Lambda, exp.LastValue, exp.Lead, exp.Like, exp.Literal, exp.Max, exp.Min,
    exp.NEQ, exp.Neg, exp.Not, exp.NthValue, exp.Ntile, exp.Null, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Nullif,
    exp.Or, exp.Paren, exp.PercentRank, exp.Rank, exp.RowNumber, exp.Seq4, exp.Seq8, exp.Sum, exp.Trim, exp.Tuple,
    exp.Var, exp.Window, exp.WindowSpec, exp.WithinGroup,
})  # fmt: skip
