"""Converts keys and request fields from a request's JSON to Python values of their types."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controlplane.base.types import is_decimal, is_list, item_type, parse_date, parse_instant
from controlplane.codec.checks import checked
from controlplane.codec.texts import parse_text
from controlplane.server.refused import Refused
from controlplane.serving import ServiceReader

_LONGEST_NUMBER = 100  # characters; Python's own limit for int is far above
_FORMS = {
    "bool": "true or false",
    "int64": "a whole number between -2**63 and 2**63 - 1, or its digits as a string",
    "float64": "a number",
    "string": "a string",
    "binary": "a string in base64",
    "date": "a string such as 2013-01-31",
    "timestamp": "a string such as 2013-01-31T06:00:00Z, with at most six digits of a second",
}


class Inputs:
    """The inputs of a feature service.

    Attributes:
        keys: the canonical type of each key.
        fields: the canonical type of each field of the service's request.
    """

    def __init__(self, reader: ServiceReader) -> None:
        self.keys, self.fields = reader.key_types, reader.request.types
        nullable = set(self.keys) | reader.request.nullable
        types = {**self.fields, **self.keys}
        self._checks = [
            (name, input_type, _converter(input_type), name in nullable)
            for name, input_type in types.items()
        ]

    def typed(self, entities: Sequence[Mapping[str, Any]], path: str) -> list[dict[str, Any]]:
        """Return the inputs of each entity as Python values; other names are left out.

        Args:
            entities: the entities, as JSON has them.
            path: the path of a value in the body, with `{n}` for the entity's number and `{name}`
                for the name of the value.

        Raises:
            Refused: a value is missing or not of its type; the refusal names it.
        """
        rows = []
        for number, entity in enumerate(entities):
            row: dict[str, Any] = {}
            for name, input_type, convert, nullable in self._checks:
                try:
                    # A field of the request that may be null may be left out. A key may not: its
                    # name could be misspelt.
                    value = entity.get(name) if nullable and name in self.fields else entity[name]
                    if value is not None:
                        row[name] = convert(value)
                    elif nullable:
                        row[name] = None
                    else:
                        raise TypeError
                except KeyError:
                    field = path.format(n=number, name=name)
                    is_key = name in self.keys
                    hint = "give a value, or null if there is no entity" if is_key else "give it"
                    text = f"{field} ({input_type}) is missing"
                    raise Refused(400, text, field=field, hint=hint) from None
                except (TypeError, ValueError, ArithmeticError):
                    field = path.format(n=number, name=name)
                    hint = f"give {form(input_type)}{', or null' * nullable}"
                    text = f"{field} is not of type {input_type}"
                    raise Refused(400, text, field=field, hint=hint) from None
            rows.append(row)
        return rows

    def requests(self, typed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
        """Return the request fields of each entity; None if the service has no request."""
        return [{name: row[name] for name in self.fields} for row in typed] if self.fields else None


def form(type_name: str) -> str:
    """Describe the JSON for a value of a type."""
    if is_list(type_name):
        return f"an array whose items are null or {form(item_type(type_name))}"
    return _FORMS.get(
        type_name, f'a whole number, or the digits of a {type_name} as a string such as "-1.50"'
    )


def _converter(type_name: str) -> Callable[[Any], Any]:
    """Return the function that converts JSON to a value of a type.

    The function raises TypeError, ValueError or ArithmeticError.
    """
    if is_list(type_name):
        convert = _converter(item_type(type_name))
        return lambda value: [
            None if item is None else convert(item) for item in _exactly(list, value)
        ]
    check = checked(type_name)
    if is_decimal(type_name) or type_name == "int64":
        return lambda value: check(value if type(value) is int else _digits(value, type_name))
    if type_name in _TEXTS:
        parse = _TEXTS[type_name]
        return lambda value: check(parse(_exactly(str, value)))
    return check


_TEXTS: dict[str, Callable[[str], Any]] = {
    "binary": lambda text: b64decode(text, validate=True),
    "date": parse_date,
    "timestamp": parse_instant,
}


def _exactly(python_type: type, value: Any) -> Any:  # noqa: ANN401 - any JSON
    # Not isinstance: a bool is an int.
    if type(value) is not python_type:
        raise TypeError
    return value


def _digits(value: Any, type_name: str) -> Any:  # noqa: ANN401 - this is where types are checked
    if len(_exactly(str, value)) > _LONGEST_NUMBER:
        raise ValueError
    return parse_text(type_name, value)
