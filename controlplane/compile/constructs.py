"""The parts of a SQL text that decide how a view is computed: their names and their lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from sqlglot import exp

from controlplane.compile.scalars import UNNESTING_NAMES, row_local


class Construct(NamedTuple):
    """A part of a SQL text, in words, and its line (from 1; 0 if the parser does not know it)."""

    words: str
    line: int


def spelling(node: exp.Expr) -> str:
    """Spell an expression without its columns' tables, to compare it with another one."""

    def bare(child: exp.Expr) -> exp.Expr:
        if isinstance(child, exp.Column):
            return exp.column(child.name.lower())
        return child

    return node.copy().transform(bare).sql(comments=False)


_MAKES_ROWS = (exp.Unnest, exp.Lateral, exp.Explode, exp.Posexplode, exp.Flatten, exp.Inline)
"""Expressions that make several rows from one row."""
_CLAUSES = (exp.Where, exp.Order, exp.Ordered, exp.Group, exp.Having, exp.Qualify)


def plain(node: exp.Expr) -> bool:
    """Tell whether the value of a node, except its operands, depends on its own row alone."""
    if isinstance(node, _MAKES_ROWS):
        return True  # in a FROM clause or a projection
    if isinstance(node, exp.Anonymous) and node.name.lower() in UNNESTING_NAMES:
        return True
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        return False  # a function in a schema is a user's own
    return row_local(node) or isinstance(node, _CLAUSES)


def breaks(join: exp.Join, right_timed: bool) -> str:
    """Say why a join of a timed source and a static table is not row by row; empty if it is."""
    side, method, join_kind = (
        str(join.args.get(name) or "").upper() for name in ("side", "method", "kind")
    )
    if (
        method == "POSITIONAL"
        or (method == "ASOF" and right_timed)
        or (join_kind in {"SEMI", "ANTI"} and right_timed)
    ):
        return f"{method or join_kind} JOIN"
    if join.args.get("pivots"):
        return "PIVOT"
    if side in {"FULL", "LEFT" if right_timed else "RIGHT"}:
        return f"{side} JOIN, which keeps rows of a static table"
    return ""


class Joined(NamedTuple):
    """A relation in FROM, and the joins whose right side begins with it.

    Each join comes with the number of relations on its right side.
    """

    node: exp.Expr
    joins: tuple[tuple[exp.Join, int], ...] = ()


def joined(tree: exp.Select) -> Iterator[Joined]:
    """Yield the relations that a SELECT reads, in order, with parentheses and nested joins."""
    start = tree.args.get("from_")
    if start is not None:
        yield from _operand(start.this)
    for join in tree.args.get("joins") or ():
        yield from _right(join)
    yield from (Joined(lateral) for lateral in tree.args.get("laterals") or ())


def _right(join: exp.Join) -> Iterator[Joined]:
    first, *rest = _operand(join.this)
    yield Joined(first.node, (*first.joins, (join, 1 + len(rest))))
    yield from rest


def _operand(node: exp.Expr) -> Iterator[Joined]:
    if (
        isinstance(node, exp.Subquery)
        and isinstance(node.this, exp.Table)
        and set(filled(node)) == {"this"}
    ):
        yield from _operand(node.this)  # parentheses around tables
        return
    yield Joined(node)
    if isinstance(node, exp.Table):
        for inner in node.args.get("joins") or ():
            yield from _right(inner)
        yield from (Joined(lateral) for lateral in node.args.get("laterals") or ())


def filled(node: exp.Expr) -> list[str]:
    """Return the names of the arguments that a node has."""
    return [name for name, value in node.args.items() if value]


def words(node: exp.Expr) -> str:
    """Describe a construct that is not row by row."""
    if isinstance(
        node, exp.Window | exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup
    ):
        inner = node.this
        while isinstance(inner, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
            inner = inner.this
        return (
            f"{'window function' if isinstance(node, exp.Window) else 'aggregate'}"
            f" {function(inner)}"
        )
    if isinstance(node, exp.Dot):
        node = node.expression
    if isinstance(node, exp.AggFunc):
        return f"aggregate {function(node)}"
    if isinstance(node, exp.Func):
        return unknown_function(function(node).removesuffix("()"))
    return node.key.upper()


def unknown_function(name: str) -> str:
    """Describe a function that may do anything."""
    return f"function {name}(), which is not known to depend on its arguments alone"


def function(node: exp.Expr) -> str:
    """Write a function's name as a call, such as `sum()`."""
    name = (
        node.name
        if isinstance(node, exp.Anonymous)
        else getattr(node, "sql_name", lambda: node.key)()
    )
    return f"{name.lower()}()"


def node_of(value: object) -> exp.Expr | None:
    """Return a clause's node, or the first of its nodes."""
    if isinstance(value, list):
        return node_of(value[0]) if value else None
    return value if isinstance(value, exp.Expr) else None


def line(node: exp.Expr | None) -> int:
    """Return the first line that the parser noted in a part of the tree; 0 if it noted none."""
    if node is None:
        return 0
    return min((noted for child in node.walk() if (noted := child.meta.get("line"))), default=0)


def order(construct: Construct) -> tuple[int, str]:
    """Return the key that sorts constructs by their lines in the text."""
    # A line that the parser does not know comes last.
    return construct.line or sys.maxsize, construct.words


_UNORDERED = (exp.AnyValue, exp.ArgMax, exp.ArgMin, exp.Mode)
_ORDERED_BY_ARGUMENT = (exp.First, exp.Last, exp.ArrayAgg, exp.GroupConcat, exp.NthValue)


def unsteady(tree: exp.Expr) -> bool:
    """Tell whether the order in which rows come may change the result of a query.

    Such a query is evaluated in a statement of its own for each interval, so that its result is the
    warehouse's own for that interval.
    """
    return (
        any(
            # LIMIT without ORDER BY keeps some rows.
            not limit.parent or not limit.parent.args.get("order")
            for limit in tree.find_all(exp.Limit, exp.Fetch)
        )
        or any(
            # So does DISTINCT ON.
            not distinct.parent.args.get("order")
            for distinct in tree.find_all(exp.Distinct)
            if distinct.args.get("on") and isinstance(distinct.parent, exp.Select)
        )
        or any(
            # A window without an order, unless its function needs none.
            not window.args.get("order")
            and not window.args.get("alias")
            and not _orderless(window.this)
            for window in tree.find_all(exp.Window)
        )
        or any(
            # Rows are joined by their positions.
            str(join.args.get("method") or "").upper() == "POSITIONAL"
            for join in tree.find_all(exp.Join)
        )
        or any(tree.find_all(*_UNORDERED))
        or any(
            not (
                # Every other aggregate may depend on the order, such as a user's own.
                plain(aggregate)
                or _orderless(aggregate)
                or isinstance(aggregate, _ORDERED_BY_ARGUMENT)
                or _windowed(aggregate)
            )
            for aggregate in tree.find_all(exp.AggFunc, exp.Anonymous)
        )
        or any(
            # ARRAY_AGG(x ORDER BY y) has an order, ARRAY_AGG(x) has none.
            not isinstance(aggregate.this, exp.Order)
            and not isinstance(aggregate.parent, exp.Window | exp.WithinGroup)
            for aggregate in tree.find_all(*_ORDERED_BY_ARGUMENT)
        )
    )


_ORDERLESS: tuple[type[exp.Expr], ...] = (
    *(
        exp.Sum,
        exp.Count,
        exp.CountIf,
        exp.Min,
        exp.Max,
        exp.Avg,
        exp.LogicalAnd,
        exp.LogicalOr,
        exp.ApproxDistinct,
    ),
    *(
        exp.Stddev,
        exp.StddevPop,
        exp.StddevSamp,
        exp.Variance,
        exp.VariancePop,
        exp.Skewness,
        exp.Kurtosis,
    ),
    *(
        exp.Median,
        exp.Quantile,
        exp.PercentileCont,
        exp.PercentileDisc,
        exp.Corr,
        exp.CovarPop,
        exp.CovarSamp,
    ),
    *(exp.BitwiseAndAgg, exp.BitwiseOrAgg, exp.BitwiseXorAgg),
)
_ORDERLESS_TEXT = (
    "bitstring_agg count_star entropy favg fsum histogram kahan_sum kurtosis_pop mad mean"
    " product sem"
)
_ORDERLESS_NAMES = frozenset(_ORDERLESS_TEXT.split())
"""Aggregates without a class in the parser, whose result is the same in any order of rows."""


def _windowed(node: exp.Expr) -> bool:
    """Tell whether it is a window function: the order of its window decides for it."""
    while isinstance(node.parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        node = node.parent
    return isinstance(node.parent, exp.Window)


def _orderless(node: exp.Expr) -> bool:
    """Tell whether an aggregate gives the same result in any order of rows."""
    while isinstance(node, exp.Filter):
        node = node.this
    if isinstance(node, exp.Anonymous):
        # The parser keeps an unknown function as Anonymous, with its name.
        return node.name.lower() in _ORDERLESS_NAMES
    return type(node) in _ORDERLESS  # not isinstance: ApproxQuantile is a subclass of Quantile
