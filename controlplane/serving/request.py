"""What callers give with a read: checked against the fields of the service's request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import InvalidOperation
from typing import Any

from controlplane.codec.checks import checked, expected
from controlplane.codec.texts import parse_argument
from controlplane.errors import PlaneError
from controlplane.manifest.specs import RequestField

Request = Mapping[str, Any]
Given = Request | Sequence[Request] | None
"""One request, which counts for all entities of a read, or one for each."""
_WRONG = (TypeError, ValueError, InvalidOperation)


class RequestReader:
    """Checks the requests of one feature service; errors name fields, never values."""

    def __init__(self, service: str, fields: Sequence[RequestField]) -> None:
        self.names = [one.name for one in fields]
        self._service = service
        self._fields = [(one, checked(one.type)) for one in fields]
        self._known = set(self.names)
        self.types = {one.name: one.type for one in fields}
        self.nullable = {one.name for one in fields if one.nullable}

    def columns(self, request: Given, count: int) -> dict[str, list[Any]]:
        """The values of each field for `count` entities: one request for all of them, or one for
        each.

        Raises:
            PlaneError: a field is not given, unknown, null or not of its type; or there are more or
                fewer requests.
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
        found = [self._checked(one) for one in request]
        return {name: [one[name] for one in found] for name in self.names}

    def _checked(self, request: Request) -> dict[str, Any]:
        if not request.keys() <= self._known:
            unknown = ", ".join(repr(name) for name in request if name not in self._known)
            text = f"feature service {self._service!r} has no request field {unknown}"
            raise PlaneError(
                text, hint=f"its request fields are: {', '.join(self.names) or '(none)'}"
            )
        found: dict[str, Any] = {}
        for field, check in self._fields:
            value = request.get(field.name)
            if value is None:
                if not field.nullable:
                    raise self._absent(field, given=field.name in request)
                found[field.name] = None
                continue
            try:
                found[field.name] = check(value)
            except _WRONG:
                raise self._wrong(field, f"but a {type(value).__name__} was given") from None
        return found

    def parsed(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The request that a command line's texts say; names are checked when it is read.

        Raises:
            PlaneError: a text is not of its field's type.
        """
        found: dict[str, Any] = dict(texts)
        for field, _ in self._fields:
            if field.name in texts:
                try:
                    found[field.name] = parse_argument(field.type, texts[field.name])
                except _WRONG:
                    raise self._wrong(field, "which the given text is not") from None
        return found

    def _absent(self, field: RequestField, *, given: bool) -> PlaneError:
        text = (
            f"request field {field.name!r} ({field.type}) of feature service {self._service!r} is "
        )
        hint = f"give {expected(field.type)}, or declare it in the request's nullable"
        return PlaneError(text + ("null" if given else "not given"), hint=hint)

    def _wrong(self, field: RequestField, given: str) -> PlaneError:
        text = (
            f"request field {field.name!r} of feature service {self._service!r} is of type"
            f" {field.type}, "
        )
        return PlaneError(text + given, hint=f"give {expected(field.type)}")
