"""Values that a caller gives: checked against a type, and made what `codec` would read for it."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from controlplane.base.types import (
    decimal_precision,
    decimal_scale,
    is_decimal,
    is_list,
    item_type,
    utc,
)
from controlplane.codec.keys import parse_text

# Python also takes spaces, underscores, a plus, and digits of other scripts.
_FLOAT = re.compile(r"-?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|Infinity)|NaN").fullmatch
_INT64 = range(-(2**63), 2**63)
_DIGITS = 80  # more than a decimal has, so that nothing is rounded

EXPECTED = {
    "bool": "True or False",
    "int64": "a whole number between -2**63 and 2**63 - 1",
    "float64": "a float or an int",
    "string": "text",
    "binary": "bytes",
    "date": "a date",
    "timestamp": "a datetime",
}
"""What Python values a scalar type takes, in words."""


def expected(kind: str) -> str:
    """What Python values a type takes, in words."""
    if is_list(kind):
        return f"a list, of nulls or {expected(item_type(kind))}"
    return EXPECTED.get(kind, f"a Decimal that is a {kind} exactly")


def checked(kind: str) -> Callable[[Any], Any]:
    """A function that gives a value that is not null as `codec` would read it.

    It raises TypeError, ValueError or InvalidOperation for what is not of the type.
    """
    if is_list(kind):
        item = checked(item_type(kind))
        return lambda value: [None if one is None else item(one) for one in _list(value)]
    if is_decimal(kind):
        precision, scale = decimal_precision(kind), decimal_scale(kind)
        return lambda value: _decimal(value, precision, scale)
    return _SCALARS[kind]


def parse_given(kind: str, text: str) -> Any:  # noqa: ANN401 - of the type that is asked for
    """The value that a command line's text says: a scalar as in keys, a list as JSON.

    Raises:
        ValueError, InvalidOperation, TypeError: it is not of the type.
    """
    if is_list(kind):
        return checked(kind)(msgspec.json.decode(text))
    if kind != "float64":
        return checked(kind)(parse_text(kind, text))
    if not _FLOAT(text):
        raise ValueError
    number = float(text)
    if math.isinf(number) and not text.endswith("Infinity"):
        raise ValueError
    return number


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
    value.encode()  # a lone surrogate is no text
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
