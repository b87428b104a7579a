"""Check Python values of callers against canonical types, and normalise them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any

from controlplane.base.types import (
    decimal_precision,
    decimal_scale,
    is_decimal,
    is_list,
    item_type,
    utc,
)

_INT64 = range(-(2**63), 2**63)
_DIGITS = 80  # more than a decimal may have, so that `quantize` is exact

EXPECTED = {
    "bool": "True or False",
    "int64": "a whole number between -2**63 and 2**63 - 1",
    "float64": "a float or an int",
    "string": "text",
    "binary": "bytes",
    "date": "a date",
    "timestamp": "a datetime",
}
"""The Python values that a scalar type accepts, in words."""


def expected(value_type: str) -> str:
    """Describe the Python values that a type accepts."""
    if is_list(value_type):
        return f"a list whose items are null or {expected(item_type(value_type))}"
    return EXPECTED.get(value_type, f"a Decimal that fits {value_type} exactly")


def checked(value_type: str) -> Callable[[Any], Any]:
    """Return the function that checks a value of a type, which is not null.

    It returns the value as readers decode it: timestamps in UTC, decimals with all digits of their
    scale. For other values it raises TypeError, ValueError or InvalidOperation.
    """
    if is_list(value_type):
        item = checked(item_type(value_type))
        return lambda value: [
            None if element is None else item(element) for element in _list(value)
        ]
    if is_decimal(value_type):
        precision, scale = decimal_precision(value_type), decimal_scale(value_type)
        return lambda value: _decimal(value, precision, scale)
    return _SCALARS[value_type]


def _list(value: Any) -> list[Any] | tuple[Any, ...]:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return value
    raise TypeError


def _bool(value: Any) -> bool:  # noqa: ANN401
    if value is True or value is False:
        return value
    raise TypeError


def _int64(value: Any) -> int:  # noqa: ANN401
    number = operator.index(value)
    if isinstance(value, bool) or number not in _INT64:
        raise ValueError
    return number


def _float64(value: Any) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        raise ValueError from None


def _string(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # raises for a lone surrogate, which no store can hold
    return value


def _binary(value: Any) -> bytes:  # noqa: ANN401
    return bytes(memoryview(value))


def _date(value: Any) -> date:  # noqa: ANN401
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value


def _timestamp(value: Any) -> datetime:  # noqa: ANN401
    if not isinstance(value, datetime):
        raise TypeError
    return utc(value)


def _decimal(value: Any, precision: int, scale: int) -> Decimal:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError
    with localcontext(prec=_DIGITS):
        number = Decimal(value).quantize(Decimal(1).scaleb(-scale))
    if number != value or len(number.as_tuple().digits) > precision:
        raise ValueError
    return number


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "int64": _int64,
    "float64": _float64,
    "string": _string,
    "binary": _binary,
    "date": _date,
    "timestamp": _timestamp,
}
