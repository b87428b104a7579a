"""The aggregate functions: the types of their columns and results, and their parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controlplane.base.types import decimal_precision, decimal_scale, is_decimal, is_list

DIGITS = 38
"""Digits of the widest decimal in all warehouses: the type of sums of integers and decimals."""
LONGEST_LIST = 1000
"""The largest `n`: every tile keeps that many values."""


def is_number(column_type: str) -> bool:
    """Tell whether a canonical type can be summed."""
    return column_type in ("int64", "float64") or is_decimal(column_type)


def sum_fits(column_type: str) -> bool:
    """Tell whether the exact sum of any number of such values fits the type of its state."""
    # 10 digits are left for the carry: enough for 10 billion values of one key.
    return not is_decimal(column_type) or decimal_precision(column_type) <= DIGITS - 10


def _ordered(column_type: str) -> bool:
    return is_number(column_type) or column_type in ("string", "date", "timestamp")


def _scalar(column_type: str) -> bool:
    return not is_list(column_type)


def _hashable(column_type: str) -> bool:
    return _scalar(column_type) and column_type not in ("float64", "binary")


def _any(_: str) -> bool:
    return True


def _sum_type(column_type: str) -> str:
    return f"decimal(38,{decimal_scale(column_type)})" if is_decimal(column_type) else column_type


def _same(column_type: str) -> str:
    return column_type


def _list(column_type: str) -> str:
    return f"array<{column_type}>"


def _int64(_: str) -> str:
    return "int64"


def _float64(_: str) -> str:
    return "float64"


@dataclass(frozen=True)
class Function:
    """The signature of an aggregate function.

    Attributes:
        takes: whether it accepts a column of a canonical type.
        gives: the canonical type of its result, by that of its column.
        accepts: the types of its columns, in words.
        needs_column: whether it can't do without a column.
        parameter: the argument of `Aggregate` that it needs: `n` (the number of values) or `q` (the
            quantile).
    """

    takes: Callable[[str], bool]
    gives: Callable[[str], str]
    accepts: str
    needs_column: bool = True
    parameter: str | None = None


# What messages say of the accepted columns.
_NUMBERS = "an int64, float64 or decimal column"
_ORDERED = "a number, string, date or timestamp column"
_SCALARS = "a column of any type but an array"

FUNCTIONS = {
    "count": Function(
        _any, _int64, "a column of any type, or none to count rows", needs_column=False
    ),
    "sum": Function(is_number, _sum_type, _NUMBERS),
    "mean": Function(is_number, _float64, _NUMBERS),
    "min": Function(_ordered, _same, _ORDERED),
    "max": Function(_ordered, _same, _ORDERED),
    "var_samp": Function(is_number, _float64, _NUMBERS),
    "var_pop": Function(is_number, _float64, _NUMBERS),
    "stddev_samp": Function(is_number, _float64, _NUMBERS),
    "stddev_pop": Function(is_number, _float64, _NUMBERS),
    "first": Function(_scalar, _same, _SCALARS),
    "last": Function(_scalar, _same, _SCALARS),
    "first_n": Function(_scalar, _list, _SCALARS, parameter="n"),
    "last_n": Function(_scalar, _list, _SCALARS, parameter="n"),
    "first_distinct_n": Function(_scalar, _list, _SCALARS, parameter="n"),
    "last_distinct_n": Function(_scalar, _list, _SCALARS, parameter="n"),
    "count_distinct": Function(_scalar, _int64, _SCALARS),
    "approx_count_distinct": Function(
        _hashable, _int64, "a column of any type but float64, binary or array"
    ),
    "percentile": Function(is_number, _float64, _NUMBERS, parameter="q"),
    "approx_percentile": Function(is_number, _float64, _NUMBERS, parameter="q"),
}
