"""Keys: the values that identify an entity, as text. Different values never share a key.

Each key part has one canonical text, which is percent-escaped: the separators `:`, `{` and `}`
never occur inside a part. An empty part is written as a lone `%`, which no escaping yields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from controlplane.base.types import is_decimal, micros
from controlplane.codec.checks import checked, expected
from controlplane.codec.layout import Layout
from controlplane.codec.texts import parse_text
from controlplane.errors import PlaneError

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+").fullmatch


def entity_key(layout: Layout, values: Mapping[str, Any]) -> bytes:
    """Write the part of a key between its braces.

    Args:
        layout: names the key parts and their types.
        values: a value of the right Python type for each key part; other names are ignored.

    Raises:
        PlaneError: a key part is absent, null or not of its type.
    """
    return ":".join([text(values.get(name)) for name, text in _texts(layout)]).encode()


def online_key(prefix: bytes, layout: Layout, values: Mapping[str, Any]) -> bytes:
    """Write the whole key; see `entity_key`."""
    return row_key(prefix, entity_key(layout, values))


def row_key(prefix: bytes, entity: bytes) -> bytes:
    """Return the whole key of an entity that `entity_key` wrote."""
    return prefix + b"{" + entity + b"}"


def parse_key_text(layout: Layout, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parse the texts of key parts, as on a command line, to values of the right Python types.

    Raises:
        PlaneError: a key part is absent, unknown, or its text is not of its type.
    """
    names = [name for name, _ in layout.keys]
    unknown = [name for name in texts if name not in names]
    absent = [name for name in names if name not in texts]
    for name in unknown + absent:
        problem = "unknown" if name in unknown else "absent"
        raise PlaneError(f"key {name!r} is {problem}", hint=f"the keys are: {', '.join(names)}")
    return {name: _parsed(name, value_type, texts[name]) for name, value_type in layout.keys}


@lru_cache
def _texts(layout: Layout) -> list[tuple[str, Callable[[Any], str]]]:
    return [(name, key_text(name, value_type)) for name, value_type in layout.keys]


def key_text(name: str, value_type: str) -> Callable[[Any], str]:
    """Return the function that writes values of one key part.

    It raises PlaneError for a value that is not of the type.
    """
    spell = _spelling(value_type)
    safe = value_type not in {
        "string",
        "binary",
    }  # only digits, signs and small letters: no escaping

    def text(value: Any) -> str:  # noqa: ANN401 - types are checked here
        try:
            spelled = spell(value)
            return spelled if safe or _PLAIN(spelled) else quote(spelled, safe="") or "%"
        except (TypeError, ValueError, InvalidOperation):  # as `checked` does
            raise _wrong(name, value_type, value) from None

    return text


def _spelling(value_type: str) -> Callable[[Any], str]:
    check = checked(value_type)
    if is_decimal(value_type):
        return lambda value: _decimal(check(value))
    spellings: dict[str, Callable[[Any], str]] = {
        "bool": lambda value: "true" if check(value) else "false",
        "int64": lambda value: str(check(value)),
        "string": check,
        "binary": lambda value: str(check(value).hex()),
        "date": lambda value: str(check(value).isoformat()),
        "timestamp": lambda value: str(micros(check(value))),
    }
    return spellings[value_type]


def _decimal(number: Decimal) -> str:
    # Minus zero equals zero, so it must have the same key.
    return f"{number or number.copy_abs():f}"


def _parsed(name: str, value_type: str, text: str) -> Any:  # noqa: ANN401
    try:
        value = parse_text(value_type, text)
    except (ValueError, InvalidOperation):
        raise _wrong(name, value_type, text) from None
    key_text(name, value_type)(value)
    return value


_AS_TEXT = {
    "bool": " (as text: true or false)",
    "binary": " (as text: hexadecimal digits)",
    "date": " (as text: 2013-01-31)",
    "timestamp": " (as text: 2013-01-31T06:00:00Z)",
}


def _wrong(name: str, value_type: str, value: object) -> PlaneError:
    if value is None:
        return PlaneError(
            f"key {name!r} is absent or null", hint=f"give a value of type {value_type}"
        )
    shown = f"{value!r:.60}"
    return PlaneError(
        f"key {name!r} is of type {value_type}, but {shown} ({type(value).__name__}) was given",
        hint=f"give {expected(value_type)}{_AS_TEXT.get(value_type, '')}",
    )
