"""The aggregate functions: which column types each takes and what type it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controlplane.types import decimal_scale, is_decimal


def is_number(column_type: str) -> bool:
    """Whether a canonical type can be summed."""
    return column_type in ("int64", "float64") or is_decimal(column_type)


def _ordered(column_type: str) -> bool:
    return is_number(column_type) or column_type in ("string", "date", "timestamp")


def _sum_type(column_type: str) -> str:
    return f"decimal(38,{decimal_scale(column_type)})" if is_decimal(column_type) else column_type


@dataclass(frozen=True)
class Function:
    """What an aggregate function takes and gives; `accepts` says it for people."""

    takes: Callable[[str], bool]
    gives: Callable[[str], str]
    accepts: str
    needs_column: bool = True


FUNCTIONS = {
    "count": Function(lambda _: True, lambda _: "int64", "a column of any type, or none to count rows", False),
    "sum": Function(is_number, _sum_type, "an int64, float64 or decimal column"),
    "mean": Function(is_number, lambda _: "float64", "an int64, float64 or decimal column"),
    "min": Function(_ordered, lambda t: t, "a number, string, date or timestamp column"),
    "max": Function(_ordered, lambda t: t, "a number, string, date or timestamp column"),
}
