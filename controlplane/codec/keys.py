"""Keys: the values that identify an entity, as text. Different values never share a key.

Each key part is written in one canonical way and percent-escaped, so that the separators `:`, `{`
and `}` never occur inside a part; an empty part is a lone `%`, which no escaping yields.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from controlplane.base.types import (
    decimal_precision,
    decimal_scale,
    is_decimal,
    micros,
    parse_date,
    parse_instant,
)
from controlplane.codec.layout import Layout
from controlplane.errors import PlaneError

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+").fullmatch
# Python also takes spaces, underscores, a plus, exponents, and digits of other scripts.
_INTEGER = re.compile(r"-?[0-9]+").fullmatch
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?").fullmatch
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]{2})*").fullmatch
_INT64 = range(-(2**63), 2**63)


def entity_key(layout: Layout, values: Mapping[str, Any]) -> bytes:
    """What stands between the braces of a key.

    Args:
        layout: names the key parts and their types.
        values: a value of the right Python type for each key part; others are ignored.

    Raises:
        PlaneError: a key part is absent, null or not of its type.
    """
    return ":".join([text(values.get(name)) for name, text in _texts(layout)]).encode()


def online_key(prefix: bytes, layout: Layout, values: Mapping[str, Any]) -> bytes:
    """The whole key; see `entity_key`."""
    return row_key(prefix, entity_key(layout, values))


def row_key(prefix: bytes, entity: bytes) -> bytes:
    """The whole key of an entity that `entity_key` wrote."""
    return prefix + b"{" + entity + b"}"


def parse_key_text(layout: Layout, texts: Mapping[str, str]) -> dict[str, Any]:
    """Key values of the right Python types from text, as a command line gives it.

    Raises:
        PlaneError: a key part is absent, unknown, or its text is not of its type.
    """
    names = [name for name, _ in layout.keys]
    for wrong in [name for name in texts if name not in names] + [
        name for name in names if name not in texts
    ]:
        what = "absent" if wrong in names else "unknown"
        raise PlaneError(f"key {wrong!r} is {what}", hint=f"the keys are: {', '.join(names)}")
    return {name: _parsed(name, kind, texts[name]) for name, kind in layout.keys}


@lru_cache
def _texts(layout: Layout) -> list[tuple[str, Callable[[Any], str]]]:
    return [(name, key_text(name, kind)) for name, kind in layout.keys]


def key_text(name: str, kind: str) -> Callable[[Any], str]:
    """The function that writes values of one key part.

    It raises PlaneError for what is not of the type.
    """
    spell = _spelling(kind)
    safe = kind not in {"string", "binary"}  # digits, signs and small letters

    def text(value: Any) -> str:  # noqa: ANN401 - this is where types are checked
        try:
            spelled = spell(value)
            return spelled if safe or _PLAIN(spelled) else quote(spelled, safe="") or "%"
        except (TypeError, ValueError, InvalidOperation):  # in quote: a lone surrogate has no bytes
            raise _wrong(name, kind, value) from None

    return text


def _spelling(kind: str) -> Callable[[Any], str]:
    if is_decimal(kind):
        return lambda value: _decimal(value, kind)
    return {
        "bool": _bool,
        "int64": _int64,
        "string": _string,
        "binary": lambda value: bytes(memoryview(value)).hex(),
        "date": _date,
        "timestamp": _timestamp,
    }[kind]


def _bool(value: Any) -> str:  # noqa: ANN401
    if value is True or value is False:
        return "true" if value else "false"
    raise TypeError


def _int64(value: Any) -> str:  # noqa: ANN401
    number = operator.index(value)
    if isinstance(value, bool) or number not in _INT64:
        raise ValueError
    return str(number)


def _string(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise TypeError
    return value


def _date(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value.isoformat()


def _timestamp(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, datetime):
        raise TypeError
    return str(micros(value))


def _decimal(value: Any, kind: str) -> str:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError
    scale = decimal_scale(kind)
    sign, digits, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int):  # NaN or infinite
        raise TypeError
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    whole, rest = divmod(number * 10 ** max(0, exponent + scale), 10 ** max(0, -exponent - scale))
    if rest or len(str(abs(whole))) > decimal_precision(kind):
        raise ValueError
    return f"{Decimal((whole < 0, tuple(map(int, str(abs(whole)))), -scale)):f}"


def _parsed(name: str, kind: str, text: str) -> Any:  # noqa: ANN401
    try:
        value = parse_text(kind, text)
    except (ValueError, InvalidOperation):
        raise _wrong(name, kind, text) from None
    key_text(name, kind)(value)
    return value


def parse_text(kind: str, text: str) -> Any:  # noqa: ANN401
    """The value of a type that keys may have.

    Raises:
        ValueError: the text is not of the type: an integer is `-?[0-9]+`, a decimal has perhaps a
            point and more digits, and neither has an exponent.
    """
    if kind == "string":
        return text
    if kind == "int64" and _INTEGER(text):
        return int(text)
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    if kind == "binary" and _HEXADECIMAL(text):
        return bytes.fromhex(text)
    if kind == "date":
        return parse_date(text)
    if kind == "timestamp":
        return parse_instant(text)
    if is_decimal(kind) and _DECIMAL(text):
        return Decimal(text)
    raise ValueError


_EXAMPLES = {
    "bool": "True or False (as text: true or false)",
    "int64": "a whole number between -2**63 and 2**63 - 1",
    "string": "text",
    "binary": "bytes (as text: hexadecimal digits)",
    "date": "a date (as text: 2013-01-31)",
    "timestamp": "a datetime (as text: 2013-01-31T06:00:00Z)",
}


def _wrong(name: str, kind: str, value: object) -> PlaneError:
    if value is None:
        return PlaneError(f"key {name!r} is absent or null", hint=f"give a value of type {kind}")
    shown = f"{value!r:.60}"
    return PlaneError(
        f"key {name!r} is of type {kind}, but {shown} ({type(value).__name__}) was given",
        hint=f"give {_EXAMPLES.get(kind, 'a Decimal that fits the type exactly')}",
    )
