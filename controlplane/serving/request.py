"""Checks what callers pass with a read against the fields of the service's request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import InvalidOperation
from typing import Any

from controlplane.codec.checks import checked, expected
from controlplane.codec.texts import parse_argument
from controlplane.errors import PlaneError
from controlplane.manifest.specs import RequestField

Request = Mapping[str, Any]
Requests = Request | Sequence[Request] | None
"""One request for all entities of a read, or one for each."""
# What a conversion raises for a wrong value; `Decimal` raises its own error, an ArithmeticError.
_WRONG = (TypeError, ValueError, InvalidOperation)


class RequestReader:
    """Checks the requests of one feature service; errors name fields, never values."""

    def __init__(self, service: str, fields: Sequence[RequestField]) -> None:
        self.names = [field.name for field in fields]
        self._service = service
        self._fields = [(field, checked(field.type)) for field in fields]
        self._known = set(self.names)
        self.types = {field.name: field.type for field in fields}
        self.nullable = {field.name for field in fields if field.nullable}

    def columns(self, request: Requests, count: int) -> dict[str, list[Any]]:
        """Return the values of each field for `count` entities.

        `request` is one request for all of them, or one for each.

        Raises:
            PlaneError: a field is missing, unknown, null or not of its type; or there are more or
                fewer requests than entities.
        """
        if request is None and not self._fields:
            return {}
        if request is None or isinstance(request, Mapping):
            return {name: [value] * count for name, value in self._checked(request or {}).items()}
        if len(request) != count:
            text = (
                f"feature service {self._service!r}: {len(request)} requests were given for {count}"
                " entities"
            )
            raise PlaneError(text, hint="give one for each, or one mapping for all of them")
        rows = [self._checked(row) for row in request]
        return {name: [row[name] for row in rows] for name in self.names}

    def _checked(self, request: Request) -> dict[str, Any]:
        if not request.keys() <= self._known:
            unknown = ", ".join(repr(name) for name in request if name not in self._known)
            text = f"feature service {self._service!r} has no request field {unknown}"
            raise PlaneError(
                text, hint=f"its request fields are: {', '.join(self.names) or '(none)'}"
            )
        values: dict[str, Any] = {}
        for field, check in self._fields:
            value = request.get(field.name)
            if value is None:
                if not field.nullable:
                    raise self._absent(field, is_null=field.name in request)
                values[field.name] = None
                continue
            try:
                values[field.name] = check(value)
            except _WRONG:
                # From None: the original message may hold the value, which may be private.
                raise self._wrong(field, f"but a {type(value).__name__} was given") from None
        return values

    def parsed(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Parse a request from a command line's texts.

        Names are not checked here, but when the request is read.

        Raises:
            PlaneError: a text is not of its field's type.
        """
        values: dict[str, Any] = dict(texts)
        for field, _ in self._fields:
            if field.name in texts:
                try:
                    values[field.name] = parse_argument(field.type, texts[field.name])
                except _WRONG:
                    raise self._wrong(field, "which the given text is not") from None
        return values

    def _absent(self, field: RequestField, *, is_null: bool) -> PlaneError:
        text = (
            f"request field {field.name!r} ({field.type}) of feature service {self._service!r} is "
        )
        hint = f"give {expected(field.type)}, or declare it in the request's nullable"
        return PlaneError(text + ("null" if is_null else "not given"), hint=hint)

    def _wrong(self, field: RequestField, received: str) -> PlaneError:
        text = (
            f"request field {field.name!r} of feature service {self._service!r} is of type"
            f" {field.type}, "
        )
        return PlaneError(text + received, hint=f"give {expected(field.type)}")
