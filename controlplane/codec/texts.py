"""Parse values that are written as text: in keys, in URLs and on command lines."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import msgspec

from controlplane.base.types import is_decimal, is_list, parse_date, parse_instant
from controlplane.codec.checks import checked

# Stricter than Python's constructors: those also take spaces, underscores, a plus, and digits of
# other scripts.
_INTEGER = re.compile(r"-?[0-9]+").fullmatch
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]{2})*").fullmatch
_FLOAT = re.compile(r"-?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|Infinity)|NaN").fullmatch


def parse_text(value_type: str, text: str) -> Any:  # noqa: ANN401 - of the type that is asked for
    """Parse a value of a type that keys may have; its range is not checked.

    An integer is `-?[0-9]+`; a decimal may also have a point and more digits. Neither has an
    exponent. Binary values are hexadecimal digits.

    Raises:
        ValueError: the text is not of the type.
    """
    if value_type == "string":
        return text
    if value_type == "int64" and _INTEGER(text):
        return int(text)
    if value_type == "bool" and text in ("true", "false"):
        return text == "true"
    if value_type == "binary" and _HEXADECIMAL(text):
        return bytes.fromhex(text)
    if value_type == "date":
        return parse_date(text)
    if value_type == "timestamp":
        return parse_instant(text)
    if is_decimal(value_type) and _DECIMAL(text):
        return Decimal(text)
    raise ValueError


def parse_argument(value_type: str, text: str) -> Any:  # noqa: ANN401 - as above
    """Parse a command line's argument of any type: a scalar as in keys, a list as JSON.

    Raises:
        ValueError, InvalidOperation, TypeError: the text is not of the type.
    """
    if is_list(value_type):
        return checked(value_type)(msgspec.json.decode(text))
    if value_type != "float64":
        return checked(value_type)(parse_text(value_type, text))
    if not _FLOAT(text):
        raise ValueError
    number = float(text)
    # `float` reads digits beyond its range, such as 1e999, as infinite.
    if math.isinf(number) and not text.endswith("Infinity"):
        raise ValueError
    return number
