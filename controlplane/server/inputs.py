"""What a request's JSON says of keys and request fields, as Python values of the right types."""

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
    """What a feature service asks of its callers.

    `keys` and `fields` (of its request) are name -> canonical type.
    """

    def __init__(self, reader: ServiceReader) -> None:
        self.keys, self.fields = reader.key_types, reader.request.types
        nullable = set(self.keys) | reader.request.nullable
        types = {**self.fields, **self.keys}
        self._checks = [
            (name, kind, _converter(kind), name in nullable) for name, kind in types.items()
        ]

    def typed(self, entities: Sequence[Mapping[str, Any]], place: str) -> list[dict[str, Any]]:
        """Each entity with values of the right Python types.

        What the service does not ask for is left out.

        Args:
            entities: as JSON has them.
            place: where a value stands in the body, with `{n}` for the entity's number and `{name}`
                for the value's.

        Raises:
            Refused: a value is missing or not of its type; it says which.
        """
        found = []
        for number, entity in enumerate(entities):
            row: dict[str, Any] = {}
            for name, kind, convert, nullable in self._checks:
                try:
                    # A field of the request that may be null may be left out; a key may not: it
                    # could be misspelt.
                    value = entity.get(name) if nullable and name in self.fields else entity[name]
                    if value is not None:
                        row[name] = convert(value)
                    elif nullable:
                        row[name] = None
                    else:
                        raise TypeError
                except KeyError:
                    field = place.format(n=number, name=name)
                    hint = (
                        "give it, or null where there is no such entity"
                        if name in self.keys
                        else "give it"
                    )
                    raise Refused(
                        400, f"{field} ({kind}) is missing", field=field, hint=hint
                    ) from None
                except (TypeError, ValueError, ArithmeticError):
                    field, hint = (
                        place.format(n=number, name=name),
                        f"give {form(kind)}{', or null' * nullable}",
                    )
                    raise Refused(
                        400, f"{field} is not of type {kind}", field=field, hint=hint
                    ) from None
            found.append(row)
        return found

    def requests(self, typed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
        """The fields of the service's request of each entity; None where it has none."""
        return [{name: row[name] for name in self.fields} for row in typed] if self.fields else None


def form(kind: str) -> str:
    """What JSON a type takes, in words."""
    if is_list(kind):
        return f"an array, of nulls or {form(item_type(kind))}"
    return _FORMS.get(
        kind, f'a whole number, or the digits of a {kind} as a string such as "-1.50"'
    )


def _converter(kind: str) -> Callable[[Any], Any]:
    """The function that makes a value of a type from JSON.

    It raises TypeError, ValueError or ArithmeticError.
    """
    if is_list(kind):
        item = _converter(item_type(kind))
        return lambda value: [None if one is None else item(one) for one in _of(list, value)]
    check = checked(kind)
    if is_decimal(kind) or kind == "int64":
        return lambda value: check(value if type(value) is int else _digits(value, kind))
    if kind in _TEXTS:
        read = _TEXTS[kind]
        return lambda value: check(read(_of(str, value)))
    return check


_TEXTS: dict[str, Callable[[str], Any]] = {
    "binary": lambda text: b64decode(text, validate=True),
    "date": parse_date,
    "timestamp": parse_instant,
}


def _of(kind: type, value: Any) -> Any:  # noqa: ANN401 - this is where types are checked
    if type(value) is not kind:
        raise TypeError
    return value


def _digits(value: Any, kind: str) -> Any:  # noqa: ANN401
    if len(_of(str, value)) > _LONGEST_NUMBER:
        raise ValueError
    return parse_text(kind, value)
