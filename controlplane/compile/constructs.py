"""How the parts of a SQL text are called that decide how a view is computed, and where they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from sqlglot import exp

from controlplane.compile.scalars import UNNESTING_NAMES, row_local


class Construct(NamedTuple):
    """A part of a SQL text, in words, and its line (from 1; 0 where the parser does not know)."""

    words: str
    line: int


def spelling(node: exp.Expr) -> str:
    """An expression without its columns' tables, in small letters outside of literals."""

    def bare(one: exp.Expr) -> exp.Expr:
        if isinstance(one, exp.Column):
            return exp.column(one.name.lower())
        return one

    return node.copy().transform(bare).sql(comments=False)


def plain(node: exp.Expr) -> bool:
    """Whether a node of an expression depends on its own row alone."""
    if isinstance(
        node, exp.Unnest | exp.Lateral | exp.Explode | exp.Posexplode | exp.Flatten | exp.Inline
    ):
        return True  # in a FROM clause or a projection: several rows of one
    if isinstance(node, exp.Anonymous) and node.name.lower() in UNNESTING_NAMES:
        return True
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        return False  # a function of a schema, which is a user's own
    return row_local(node) or isinstance(
        node, exp.Where | exp.Order | exp.Ordered | exp.Group | exp.Having | exp.Qualify
    )


def breaks(join: exp.Join, right_timed: bool) -> str:
    """Why a join of a timed source and a static table is not row by row; empty if it is."""
    side, method, kind = (
        str(join.args.get(name) or "").upper() for name in ("side", "method", "kind")
    )
    if (
        method == "POSITIONAL"
        or (method == "ASOF" and right_timed)
        or (kind in {"SEMI", "ANTI"} and right_timed)
    ):
        return f"{method or kind} JOIN"
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
    """The relations that a SELECT reads, in order, also those in parentheses and nested joins."""
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
    """The names of the arguments that a node has."""
    return [name for name, value in node.args.items() if value]


def words(node: exp.Expr) -> str:
    """What a construct is called."""
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
        return f"function {function(node)}, which is not known to depend on its arguments alone"
    return f"{node.key.upper()}"


def function(node: exp.Expr) -> str:
    """A function's name as a call."""
    name = (
        node.name
        if isinstance(node, exp.Anonymous)
        else getattr(node, "sql_name", lambda: node.key)()
    )
    return f"{name.lower()}()"


def node_of(value: object) -> exp.Expr | None:
    """A clause's node, the first one where there are several."""
    if isinstance(value, list):
        return node_of(value[0]) if value else None
    return value if isinstance(value, exp.Expr) else None


def line(node: exp.Expr | None) -> int:
    """The first line that the parser noted in a part of the tree."""
    if node is None:
        return 0
    return min((noted for one in node.walk() if (noted := one.meta.get("line"))), default=0)


def order(construct: Construct) -> tuple[int, str]:
    """Sorts constructs as they stand in the text."""
    # A line that the parser does not know comes last.
    return construct.line or sys.maxsize, construct.words


_UNORDERED = (exp.AnyValue, exp.ArgMax, exp.ArgMin, exp.Mode)
_ORDERED_BY_ARGUMENT = (exp.First, exp.Last, exp.ArrayAgg, exp.GroupConcat, exp.NthValue)


def unsteady(tree: exp.Expr) -> bool:
    """Whether the order in which rows come may decide what a query returns.

    Such a query gives what the warehouse gives for one interval alone: it is evaluated in a
    statement of its own.
    """
    return (
        any(
            not limit.parent or not limit.parent.args.get("order")
            for limit in tree.find_all(exp.Limit, exp.Fetch)
        )
        or any(
            not distinct.parent.args.get("order")
            for distinct in tree.find_all(exp.Distinct)
            if distinct.args.get("on") and isinstance(distinct.parent, exp.Select)
        )
        or any(
            not window.args.get("order")
            and not window.args.get("alias")
            and not _orderless(window.this)
            for window in tree.find_all(exp.Window)
        )
        or any(
            str(join.args.get("method") or "").upper() == "POSITIONAL"
            for join in tree.find_all(exp.Join)
        )
        or any(tree.find_all(*_UNORDERED))
        or any(
            not (
                plain(one)
                or _orderless(one)
                or isinstance(one, _ORDERED_BY_ARGUMENT)
                or _windowed(one)
            )
            for one in tree.find_all(exp.AggFunc, exp.Anonymous)
        )
        or any(
            not isinstance(one.this, exp.Order)
            and not isinstance(one.parent, exp.Window | exp.WithinGroup)
            for one in tree.find_all(*_ORDERED_BY_ARGUMENT)
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
"""Aggregates unknown to the parser whose result is the same in any order of rows."""


def _windowed(node: exp.Expr) -> bool:
    """Whether it is a window function, which its window's order decides."""
    while isinstance(node.parent, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
        node = node.parent
    return isinstance(node.parent, exp.Window)


def _orderless(node: exp.Expr) -> bool:
    """Whether an aggregate gives the same result in any order of rows."""
    while isinstance(node, exp.Filter):
        node = node.this
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _ORDERLESS_NAMES
    return type(node) in _ORDERLESS  # exactly: an approximate quantile is a kind of quantile
