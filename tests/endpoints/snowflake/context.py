"""What a statement's translation depends on besides its text, and the small words that translations
are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlglot import exp


@dataclass(frozen=True)
class Context:
    """The session around a statement.

    Args:
        says: what CURRENT_USER(), CURRENT_ROLE() and the like answer, by the word after CURRENT_.
        kept: whether the text is kept, as a view's: then it asks for the time whenever it is read.
        now: the time of the statement.
    """

    says: Mapping[str, str | None] = field(default_factory=dict)
    kept: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def call(name: str, *arguments: exp.Expr | str | int) -> exp.Anonymous:
    """A call of a function of DuckDB's; texts and numbers become literals."""
    return exp.Anonymous(this=name, expressions=[literal(argument) for argument in arguments])


def literal(value: exp.Expr | str | int | None) -> exp.Expr:
    if value is None:
        return exp.Null()
    if isinstance(value, str):
        return exp.Literal.string(value)
    return exp.Literal.number(value) if isinstance(value, int) else value


def cast(value: exp.Expr | str, kind: str, *, safe: bool = False) -> exp.Expr:
    """A cast to a type in DuckDB's words."""
    to = exp.DataType(this=exp.DType.USERDEFINED, kind=kind)
    return (exp.TryCast if safe else exp.Cast)(this=literal(value), to=to)


def null_if_any_null(arguments: list[exp.Expr], otherwise: exp.Expr) -> exp.Expr:
    nulls = [exp.Is(this=argument.copy(), expression=exp.Null()) for argument in arguments]
    return exp.Case(ifs=[exp.If(this=exp.or_(*nulls), true=exp.Null())], default=otherwise)


Handler = Callable[[exp.Expr, Context], exp.Expr]
"""Makes of a node of Snowflake's syntax tree one of DuckDB's."""


def named(name: str, *arguments: str) -> Handler:
    """A function with these arguments of the node, in order.

    Those that are not given are left out.
    """

    def handle(node: exp.Expr, _: Context) -> exp.Expr:
        given: list[exp.Expr] = []
        for argument in arguments or ("this",):
            value = node.args.get(argument)
            given += value if isinstance(value, list) else [value] if value is not None else []
        return call(name, *given)

    return handle
