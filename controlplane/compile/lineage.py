"""What a query over a view's sources returns: its columns, followed back to the sources' own."""

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
    """What the proof must know of a source: `time` is its time column, None for a static table.

    `time_sql` is the parsed expression that gives the time, where the table has no such column.
    `open` is whether the table has more columns than these.
    """

    columns: Sequence[str]
    time: str | None = None
    time_sql: exp.Expr | None = None
    open: bool = False


@dataclass(frozen=True)
class Relation:
    """What a query returns.

    Attributes:
        columns: name -> the sources' columns that its values are, unchanged; empty where they are
            computed.
        timed: whether it reads a timed source.
        constructs: what keeps it from being row by row, the first one first.
        open: whether it may have more columns than these, or have them in other places.
        numbering: a column that numbers the rows of the whole query; empty where there is none.
    """

    columns: Mapping[str, frozenset[Origin]]
    timed: bool = False
    constructs: tuple[Construct, ...] = ()
    open: bool = False
    numbering: str = ""


def key(identifier: exp.Expr, dialect: str) -> str:
    """What a table's name or alias is known by; on Snowflake, quotes make another name of it."""
    quoted = isinstance(identifier, exp.Identifier) and identifier.args.get("quoted")
    return (
        identifier.name
        if quoted and dialect == "snowflake"
        else folded_name(identifier.name, dialect)
    )


def folded_name(name: str, dialect: str) -> str:
    """The same of a name without quotes."""
    return name.upper() if dialect == "snowflake" else name.lower()


def own_time(origins: frozenset[Origin], sources: Mapping[str, Source]) -> bool:
    """Whether a column's values are times of sources, unchanged."""
    times = {
        (name.lower(), source.time.lower())
        for name, source in sources.items()
        if source.time is not None
    }
    return bool(origins) and origins <= times


def broken(
    relation: Relation, words: str, node: exp.Expr | None, *, always: bool = False
) -> Relation:
    """The relation with one more construct, if it reads a timed source at all."""
    if not relation.timed and not always:
        return relation
    return replace(
        relation, constructs=(*relation.constructs, Construct(words, constructs.line(node)))
    )


def renamed(relation: Relation, alias: exp.Expr | None) -> Relation:
    """The relation under an alias that may name its columns anew."""
    names = (
        [one.name.lower() for one in (alias.args.get("columns") or ())]
        if isinstance(alias, exp.TableAlias)
        else []
    )
    if not names:
        return relation
    columns = dict(zip(names, relation.columns.values(), strict=False)) if not relation.open else {}
    rest = {} if relation.open else dict(list(relation.columns.items())[len(names) :])
    named = {**dict.fromkeys(names, frozenset[Origin]()), **columns}
    named |= {name: frozenset() if name in named else origins for name, origins in rest.items()}
    # A sequence's column is the first one.
    return replace(relation, columns=named, numbering=names[0] if relation.numbering else "")
