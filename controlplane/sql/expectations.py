"""Expectations as SQL: one column of the rows for each, null where a row fulfils it, and one row of
results for each.

The column holds the value that fails, as text, so that counting it counts the failures and any of
it is an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from controlplane.base import template
from controlplane.base.types import is_decimal, parse_instant
from controlplane.manifest.expectations import (
    BetweenSpec,
    Expected,
    NotNullSpec,
    OneOfSpec,
    RowsSpec,
    ThatSpec,
    TypedColumn,
    UniqueSpec,
)
from controlplane.sql.dialects import Dialect


@dataclass(frozen=True)
class Rows:
    """Where the rows lie that expectations speak of, and how their intervals are told.

    Args:
        relation: a table or a CTE that holds `columns`.
        source: the source's name; None for what the view's SQL returns.
        interval: the start of the interval that a row belongs to; empty where the rows are counted
            as a whole.
        inside: whether a row belongs to an interval of the run.
        intervals: how many intervals the run has.
    """

    relation: str
    source: str | None
    interval: str
    inside: str
    intervals: str


def columns(expectations: Sequence[Expected], d: Dialect) -> list[tuple[str, str]]:
    """What the rows must hold to be checked: names, quoted, and their SQL over what was
    declared."""
    found: list[tuple[str, str]] = []
    for index, one in enumerate(expectations):
        if isinstance(one, UniqueSpec):
            names = [d.quote(_part(index, place)) for place in range(len(one.columns))]
            found += [
                (name, _typed(column, d)) for name, column in zip(names, one.columns, strict=True)
            ]
        elif not isinstance(one, RowsSpec):
            found.append((d.quote(_name(index)), _failing(one, d)))
    return found


def results(expectations: Sequence[Expected], rows: Rows, d: Dialect) -> list[str]:
    """One SELECT for each expectation: its rows, those that fail, an example or a summary of what
    was seen.

    What a run decides stays open in them; users' own text is escaped.
    """
    return [_result(index, one, rows, d) for index, one in enumerate(expectations)]


def literal(text: str, kind: str, d: Dialect) -> str:
    """A value of a canonical type from its exact text."""
    if kind == "timestamp":
        return d.instant(parse_instant(text))
    if is_decimal(kind):
        return text
    return d.cast(d.text(text) if kind in ("string", "date") else text, kind)


def share(value: float) -> str:
    """A share as exact digits, so that 29 of 100 are not more than 0.29."""
    return f"{Decimal(str(value)):f}"


def _name(index: int) -> str:
    return f"plane__expectation__{index}"


def _part(index: int, place: int) -> str:
    return f"plane__expectation__{index}__{place}"


def _failing(one: NotNullSpec | BetweenSpec | OneOfSpec | ThatSpec, d: Dialect) -> str:
    if isinstance(one, ThatSpec):
        return f"CASE WHEN NOT ({one.condition}\n) THEN '' END"
    if isinstance(one, NotNullSpec):
        return f"CASE WHEN {d.quote(one.column[0])} IS NULL THEN '' END"
    value = _typed(one.column, d)
    if isinstance(one, OneOfSpec):
        holds = f"{value} IN ({', '.join(literal(v, one.column[1], d) for v in one.values)})"
    else:
        bounds = [(">=", one.low), ("<=", one.high)]
        holds = " AND ".join(
            f"{value} {sign} {literal(v, one.column[1], d)}" for sign, v in bounds if v is not None
        )
    return f"CASE WHEN NOT ({holds}) THEN {d.cast(value, 'string')} END"


def _typed(column: TypedColumn, d: Dialect) -> str:
    name, kind = column
    return d.given(d.quote(name), kind)


def _result(index: int, one: Expected, rows: Rows, d: Dialect) -> str:
    source = "NULL" if rows.source is None else d.text(rows.source)
    about = (
        f"SELECT {d.cast(source, 'string')} AS source, {template.escape(d.text(one.name))} AS name,"
        f" {d.text(one.severity)} AS severity, {share(one.may_fail)} AS may_fail"
    )
    if isinstance(one, RowsSpec):
        return f"{about}, {_counted(one, rows, d)}"
    if isinstance(one, UniqueSpec):
        return f"{about}, {_distinct(index, one, rows, d)}"
    column = d.quote(_name(index))
    return (
        f"{about}, count(*) AS row_count, count({column}) AS failed_count, nullif(min({column}),"
        f" '') AS observed\nFROM {rows.relation}"
    )


def _counted(one: RowsSpec, rows: Rows, d: Dialect) -> str:
    right = " AND ".join(
        f"n {sign} {bound}"
        for sign, bound in ((">=", one.at_least), ("<=", one.at_most))
        if bound is not None
    )
    if not rows.interval:
        n = d.cast("n", "string")
        return (
            f"1 AS row_count, CASE WHEN {right} THEN 0 ELSE 1 END AS failed_count, {n} AS"
            f" observed\nFROM (SELECT count(*) AS n FROM {rows.relation}) AS counted"
        )
    empty = f"{rows.intervals} - count(*)"
    failed = f"count(CASE WHEN NOT ({right}) THEN 1 END)" + (f" + {empty}" if one.at_least else "")
    fewest = d.cast(f"CASE WHEN count(*) < {rows.intervals} THEN 0 ELSE min(n) END", "string")
    most = d.cast("coalesce(max(n), 0)", "string")
    return (
        f"{rows.intervals} AS row_count, {failed} AS failed_count, {fewest} || ' to ' || {most} AS"
        f" observed\nFROM (SELECT count(*) AS n FROM {rows.relation} WHERE {rows.inside} GROUP BY"
        f" {rows.interval}) AS counted"
    )


def _distinct(index: int, one: UniqueSpec, rows: Rows, d: Dialect) -> str:
    names = [d.quote(_part(index, place)) for place in range(len(one.columns))]
    known = " AND ".join(f"{name} IS NOT NULL" for name in names)
    example = " || ', ' || ".join(d.cast(name, "string") for name in names)
    return (
        "coalesce(sum(n), 0) AS row_count, coalesce(sum(n - 1), 0) AS failed_count, "
        "min(CASE WHEN n > 1 THEN example END) AS observed\n"
        f"FROM (SELECT count(*) AS n, {example} AS example FROM {rows.relation} WHERE {known} "
        f"GROUP BY {', '.join(names)}) AS counted"
    )
