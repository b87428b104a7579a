"""What the clauses of one query, and set operations, do to the relations that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from controlplane.compile import constructs
from controlplane.compile.constructs import Construct
from controlplane.compile.lineage import Origin, Relation, key, with_construct
from controlplane.compile.projection import Scope

_ALLOWED = {
    "with_",
    "expressions",
    "from_",
    "joins",
    "laterals",
    "where",
    "order",
    "hint",
    "kind",
    "operation_modifiers",
    # Refused or ignored elsewhere:
    "sample",
    "into",
    "locks",
}
"""What a SELECT over a timed source may have and still be row by row."""
_AROUND = {"this", "expression", "distinct", "by_name", "alias", "with_", "order", "sample"}
"""What a query in parentheses or a set operation may have around it."""
_COUNTED = {"limit", "offset"}
"""Clauses that count rows: over two intervals they count other rows, also of a static table."""
_SPELLINGS = {
    "distinct": "DISTINCT",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "windows": "WINDOW",
    "limit": "LIMIT",
    "offset": "OFFSET",
    "connect": "CONNECT BY",
    "match": "MATCH_RECOGNIZE",
    "pivots": "PIVOT",
}


def breaking_clauses(tree: exp.Select, *, timed: bool) -> Iterator[Construct]:
    """Yield the clauses that make a SELECT interval by interval.

    Args:
        tree: the SELECT.
        timed: whether it reads a timed source.
    """
    for clause, value in tree.args.items():
        if value and clause not in _ALLOWED and (timed or clause in _COUNTED):
            line = constructs.line(constructs.node_of(value)) or constructs.line(tree)
            yield Construct(_spelling(clause), line)


def modified(tree: exp.Expr, relation: Relation) -> Relation:
    """Apply the clauses after a set operation or a query in parentheses to what that returns."""
    for clause, value in tree.args.items():
        if value and clause in {"joins", "laterals"}:
            relation = with_construct(relation, "a join behind parentheses", tree, always=True)
        elif value and clause not in _AROUND:
            node = constructs.node_of(value)
            relation = with_construct(relation, _spelling(clause), node, always=clause in _COUNTED)
    return relation


def _spelling(clause: str) -> str:
    return _SPELLINGS.get(clause, clause.strip("_").upper())


def combined(tree: exp.SetOperation, left: Relation, right: Relation) -> Relation:
    """Return what a set operation makes of the relations on its two sides."""
    by_name = bool(tree.args.get("by_name"))
    pairs = (
        {name: right.columns.get(name, frozenset()) for name in left.columns}
        if by_name
        else dict(zip(left.columns, right.columns.values(), strict=False))
    )
    plain = not any(tree.args.get(name) for name in ("side", "kind", "on"))
    known = (
        plain
        and not (left.open or right.open)
        and (by_name or len(left.columns) == len(right.columns))
    )
    # A column is unchanged only if it is unchanged on both sides.
    columns = {
        name: origins | pairs[name] if known and origins and pairs[name] else frozenset[Origin]()
        for name, origins in left.columns.items()
    }
    relation = Relation(
        columns,
        left.timed or right.timed,
        (*left.constructs, *right.constructs),
        left.open or right.open,
    )
    if isinstance(tree, exp.Union) and not tree.args.get("distinct"):
        return relation
    return with_construct(
        relation, "UNION" if isinstance(tree, exp.Union) else tree.key.upper(), tree
    )


def numbering(tree: exp.Select, scope: Scope, dialect: str) -> Iterator[Construct]:
    """Yield the reads of a column that numbers the rows of the whole query."""
    numbered = {name: child.numbering for name, child in scope.children.items() if child.numbering}
    for column in tree.find_all(exp.Column, exp.Star) if numbered else ():
        table = column.args.get("table")
        chosen = [numbered.get(key(table, dialect), "")] if table else list(numbered.values())
        if any(chosen) and (
            column.name.lower() in chosen or isinstance(column, exp.Star) or column.name == "*"
        ):
            words = f"column {next(filter(None, chosen))}, which numbers the rows of the query"
            yield Construct(words, constructs.line(column) or constructs.line(tree))
