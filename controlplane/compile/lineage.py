"""The relations that queries return: their columns, traced back to the sources' columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from controlplane.compile import constructs
from controlplane.compile.constructs import Construct

Origin = tuple[str, str]
"""A source's name and one of its columns, in small letters."""


@dataclass(frozen=True)
class Source:
    """What the proof must know of a source.

    Attributes:
        columns: their names, folded.
        time: the time column; None for a static table.
        time_sql: the parsed expression of the time, if the table has no such column.
        open: whether the table has more columns than these.
    """

    columns: Sequence[str]
    time: str | None = None
    time_sql: exp.Expr | None = None
    open: bool = False


@dataclass(frozen=True)
class Relation:
    """What a query returns.

    Attributes:
        columns: name -> the sources' columns whose values it repeats unchanged; empty for computed
            values.
        timed: whether it reads a timed source.
        constructs: what keeps it from being row by row, in order.
        open: whether it may have more columns than these, or other positions of them.
        numbering: the column that numbers the rows of the whole query; empty if there is none.
    """

    columns: Mapping[str, frozenset[Origin]]
    timed: bool = False
    constructs: tuple[Construct, ...] = ()
    open: bool = False
    numbering: str = ""


def key(identifier: exp.Expr, dialect: str) -> str:
    """Return the name under which a table or alias is found; Snowflake's quotes keep its case."""
    quoted = isinstance(identifier, exp.Identifier) and identifier.args.get("quoted")
    return (
        identifier.name
        if quoted and dialect == "snowflake"
        else folded_name(identifier.name, dialect)
    )


def folded_name(name: str, dialect: str) -> str:
    """Fold a name without quotes as the warehouse does."""
    return name.upper() if dialect == "snowflake" else name.lower()


def own_time(origins: frozenset[Origin], sources: Mapping[str, Source]) -> bool:
    """Tell whether a column's values are unchanged times of sources."""
    times = {
        (name.lower(), source.time.lower())
        for name, source in sources.items()
        if source.time is not None
    }
    return bool(origins) and origins <= times


def with_construct(
    relation: Relation, words: str, node: exp.Expr | None, *, always: bool = False
) -> Relation:
    """Add a construct to a relation that reads a timed source; `always`: to any relation."""
    if not relation.timed and not always:
        return relation
    return replace(
        relation, constructs=(*relation.constructs, Construct(words, constructs.line(node)))
    )


def renamed(relation: Relation, alias: exp.Expr | None) -> Relation:
    """Return the relation under an alias, which may rename its columns."""
    names = (
        [identifier.name.lower() for identifier in (alias.args.get("columns") or ())]
        if isinstance(alias, exp.TableAlias)
        else []
    )
    if not names:
        return relation
    columns = dict(zip(names, relation.columns.values(), strict=False)) if not relation.open else {}
    rest = {} if relation.open else dict(list(relation.columns.items())[len(names) :])
    named = {**dict.fromkeys(names, frozenset[Origin]()), **columns}
    # A new name may be that of a later column, which then can't be told from it.
    named |= {name: frozenset() if name in named else origins for name, origins in rest.items()}
    # The numbering column of a table function is its first one.
    return replace(relation, columns=named, numbering=names[0] if relation.numbering else "")
