"""Expectations: conditions on a source's rows, or on the rows that a feature view's SQL returns.

If one fails, nothing is published. Examples, after `from controlplane import expect`:
`expect.not_null("origin")`, `expect.between("dep_delay", -120, 3000)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from controlplane.definitions.location import caller
from controlplane.errors import Location

Value = bool | int | float | str | Decimal | date | datetime
"""A value to compare a column with; dates and times may be written as text."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One expectation. Made by the functions of this module, whose arguments it holds."""

    severity: str
    may_fail: float = 0
    name: str | None
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Rows(Expectation):
    """Made by `rows`."""

    at_least: int | None
    at_most: int | None


@dataclass(frozen=True, kw_only=True)
class NotNull(Expectation):
    """Made by `not_null`."""

    column: str


@dataclass(frozen=True, kw_only=True)
class Between(Expectation):
    """Made by `between`."""

    column: str
    low: Value | None
    high: Value | None


@dataclass(frozen=True, kw_only=True)
class OneOf(Expectation):
    """Made by `one_of`."""

    column: str
    values: Sequence[Value]


@dataclass(frozen=True, kw_only=True)
class Unique(Expectation):
    """Made by `unique`."""

    columns: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class That(Expectation):
    """Made by `that`."""

    condition: str


def rows(
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    severity: str = "error",
    name: str | None = None,
) -> Expectation:
    """Expect a number of rows in each interval of the view's schedule.

    A table without an event time is counted as a whole.

    Args:
        at_least: the lowest number of rows; with 1, no interval may be empty.
        at_most: the highest number of rows.
        severity: `error` stops the run before it publishes, `warning` is only reported.
        name: the expectation's name in results (default: made from the arguments).
    """
    return Rows(at_least=at_least, at_most=at_most, severity=severity, name=name)


def not_null(
    column: str, *, may_fail: float = 0, severity: str = "error", name: str | None = None
) -> Expectation:
    """Expect a value in every row of the column.

    Args:
        column: the column's name.
        may_fail: the share of a run's rows that may fail the expectation, such as 0.01.
        severity: as in `rows`.
        name: as in `rows`.
    """
    return NotNull(column=column, may_fail=may_fail, severity=severity, name=name)


def between(
    column: str,
    low: Value | None = None,
    high: Value | None = None,
    *,
    may_fail: float = 0,
    severity: str = "error",
    name: str | None = None,
) -> Expectation:
    """Expect the column to be between two values, both included; nulls pass.

    Args:
        column: the column's name.
        low: the smallest value (default: no limit).
        high: the largest value (default: no limit).
        may_fail: as in `not_null`.
        severity: as in `rows`.
        name: as in `rows`.
    """
    return Between(
        column=column, low=low, high=high, may_fail=may_fail, severity=severity, name=name
    )


def one_of(
    column: str,
    values: Sequence[Value],
    *,
    may_fail: float = 0,
    severity: str = "error",
    name: str | None = None,
) -> Expectation:
    """Expect the column to be one of these values; nulls pass.

    Args:
        column: the column's name.
        values: the allowed values.
        may_fail: as in `not_null`.
        severity: as in `rows`.
        name: as in `rows`.
    """
    return OneOf(column=column, values=values, may_fail=may_fail, severity=severity, name=name)


def unique(
    *columns: str, may_fail: float = 0, severity: str = "error", name: str | None = None
) -> Expectation:
    """Expect no two rows of a run to be equal in these columns.

    Rows with null in one of the columns are left out.

    Args:
        columns: the columns' names.
        may_fail: as in `not_null`; of equal rows, all but the first fail.
        severity: as in `rows`.
        name: as in `rows`.
    """
    return Unique(columns=columns, may_fail=may_fail, severity=severity, name=name)


def that(
    condition: str, *, may_fail: float = 0, severity: str = "error", name: str | None = None
) -> Expectation:
    """Expect every row to fulfil a condition; rows for which it is null pass.

    Args:
        condition: SQL on the columns of a row, in the warehouse's dialect.
        may_fail: as in `not_null`.
        severity: as in `rows`.
        name: as in `rows` (default: the condition).
    """
    return That(condition=condition, may_fail=may_fail, severity=severity, name=name)
