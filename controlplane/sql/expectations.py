"""Expectations as SQL: a column of the checked rows, and a query for the result of each.

The column is null where a row meets the expectation. Otherwise it holds the failing value as text:
`count` of the column counts the failures, and `min` of it is an example.
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
    """The rows that expectations check; all attributes except `source` are SQL text.

    Args:
        relation: a table or a CTE that holds `columns`.
        source: the source's name; None for the rows that the view's SQL returns.
        interval: the start of the interval that a row belongs to; empty where all rows are counted
            together.
        inside: whether a row belongs to an interval of the run.
        intervals: how many intervals the run has.
    """

    relation: str
    source: str | None
    interval: str
    inside: str
    intervals: str


def columns(expectations: Sequence[Expected], d: Dialect) -> list[tuple[str, str]]:
    """List the columns that checked rows must have: quoted names, and SQL over declared columns."""
    checked: list[tuple[str, str]] = []
    for index, expectation in enumerate(expectations):
        if isinstance(expectation, UniqueSpec):
            columns = expectation.columns
            names = [d.quote(_part(index, position)) for position in range(len(columns))]
            checked += [(name, _typed(c, d)) for name, c in zip(names, columns, strict=True)]
        elif not isinstance(expectation, RowsSpec):
            checked.append((d.quote(_name(index)), _failing(expectation, d)))
    return checked


def results(expectations: Sequence[Expected], rows: Rows, d: Dialect) -> list[str]:
    """Render one SELECT for each expectation.

    It counts the rows and the rows that fail, and gives an example or a summary of the rows. The
    variables of a run stay open in the text; users' own text is escaped.
    """
    return [_result(index, expected, rows, d) for index, expected in enumerate(expectations)]


def literal(text: str, canonical: str, d: Dialect) -> str:
    """Render a value of a canonical type from its exact text."""
    if canonical == "timestamp":
        return d.instant(parse_instant(text))
    if is_decimal(canonical):
        return text
    return d.cast(d.text(text) if canonical in ("string", "date") else text, canonical)


def share(value: float) -> str:
    """Render a share as exact digits."""
    # A DOUBLE 0.29 times 100 is 28.999999999999996: then 29 failures of 100 would be too many.
    return f"{Decimal(str(value)):f}"


def _name(index: int) -> str:
    return f"plane__expectation__{index}"


def _part(index: int, position: int) -> str:
    return f"plane__expectation__{index}__{position}"


def _failing(expected: NotNullSpec | BetweenSpec | OneOfSpec | ThatSpec, d: Dialect) -> str:
    if isinstance(expected, ThatSpec):
        # The line break ends a comment at the end of the user's condition.
        return f"CASE WHEN NOT ({expected.condition}\n) THEN '' END"
    if isinstance(expected, NotNullSpec):
        return f"CASE WHEN {d.quote(expected.column[0])} IS NULL THEN '' END"
    value, canonical = _typed(expected.column, d), expected.column[1]
    if isinstance(expected, OneOfSpec):
        holds = f"{value} IN ({', '.join(literal(v, canonical, d) for v in expected.values)})"
    else:
        bounds = [(">=", expected.low), ("<=", expected.high)]
        holds = " AND ".join(
            f"{value} {sign} {literal(v, canonical, d)}" for sign, v in bounds if v is not None
        )
    # NOT of an unknown condition is null: a null value meets every expectation but `not_null`.
    return f"CASE WHEN NOT ({holds}) THEN {d.cast(value, 'string')} END"


def _typed(column: TypedColumn, d: Dialect) -> str:
    name, canonical = column
    return d.from_user(d.quote(name), canonical)


def _result(index: int, expected: Expected, rows: Rows, d: Dialect) -> str:
    source = "NULL" if rows.source is None else d.text(rows.source)
    about = (
        f"SELECT {d.cast(source, 'string')} AS source, "
        f"{template.escape(d.text(expected.name))} AS name, "
        f"{d.text(expected.severity)} AS severity, {share(expected.may_fail)} AS may_fail"
    )
    if isinstance(expected, RowsSpec):
        return f"{about}, {_counted(expected, rows, d)}"
    if isinstance(expected, UniqueSpec):
        return f"{about}, {_distinct(index, expected, rows, d)}"
    column = d.quote(_name(index))
    return (
        f"{about}, count(*) AS row_count, count({column}) AS failed_count, "
        f"nullif(min({column}), '') AS observed\n"
        f"FROM {rows.relation}"
    )


def _counted(expected: RowsSpec, rows: Rows, d: Dialect) -> str:
    right = " AND ".join(
        f"n {sign} {bound}"
        for sign, bound in ((">=", expected.at_least), ("<=", expected.at_most))
        if bound is not None
    )
    if not rows.interval:
        n = d.cast("n", "string")
        return (
            f"1 AS row_count, CASE WHEN {right} THEN 0 ELSE 1 END AS failed_count, "
            f"{n} AS observed\n"
            f"FROM (SELECT count(*) AS n FROM {rows.relation}) AS counted"
        )
    # GROUP BY yields no row for an interval without rows: those intervals are counted as the rest.
    empty = f" + {rows.intervals} - count(*)" if expected.at_least else ""
    failed = f"count(CASE WHEN NOT ({right}) THEN 1 END){empty}"
    fewest = d.cast(f"CASE WHEN count(*) < {rows.intervals} THEN 0 ELSE min(n) END", "string")
    most = d.cast("coalesce(max(n), 0)", "string")
    return (
        f"{rows.intervals} AS row_count, {failed} AS failed_count, "
        f"{fewest} || ' to ' || {most} AS observed\n"
        f"FROM (SELECT count(*) AS n FROM {rows.relation} "
        f"WHERE {rows.inside} GROUP BY {rows.interval}) AS counted"
    )


def _distinct(index: int, expected: UniqueSpec, rows: Rows, d: Dialect) -> str:
    names = [d.quote(_part(index, position)) for position in range(len(expected.columns))]
    known = " AND ".join(f"{name} IS NOT NULL" for name in names)
    example = " || ', ' || ".join(d.cast(name, "string") for name in names)
    return (
        "coalesce(sum(n), 0) AS row_count, coalesce(sum(n - 1), 0) AS failed_count, "
        "min(CASE WHEN n > 1 THEN example END) AS observed\n"
        f"FROM (SELECT count(*) AS n, {example} AS example FROM {rows.relation} WHERE {known} "
        f"GROUP BY {', '.join(names)}) AS counted"
    )
