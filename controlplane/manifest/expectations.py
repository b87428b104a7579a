"""Checked expectations, with the types of their columns, and their values as exact text."""

from __future__ import annotations

import msgspec

TypedColumn = tuple[str, str]
"""A column's name and its canonical type."""


class ExpectationSpec(msgspec.Struct, frozen=True):
    """The common part of expectations.

    `severity` is error or warning; `may_fail` is the share of rows that may fail.
    """

    name: str
    severity: str
    may_fail: float


class RowsSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="rows"):
    """A number of rows in each interval."""

    at_least: int | None
    at_most: int | None


class NotNullSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="not_null"):
    """A value in every row."""

    column: TypedColumn


class BetweenSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="between"):
    """A value between two others, both included; None: no limit."""

    column: TypedColumn
    low: str | None
    high: str | None


class OneOfSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="one_of"):
    """A value of a list."""

    column: TypedColumn
    values: tuple[str, ...]


class UniqueSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="unique"):
    """No two rows equal in these columns."""

    columns: tuple[TypedColumn, ...]


class ThatSpec(ExpectationSpec, frozen=True, tag_field="kind", tag="that"):
    """A condition on a row."""

    condition: str


Expected = RowsSpec | NotNullSpec | BetweenSpec | OneOfSpec | UniqueSpec | ThatSpec
