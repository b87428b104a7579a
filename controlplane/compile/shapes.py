"""Check the types of all arguments of definitions, before anything reads them.

The expected types are the annotations of the definitions. A definition with a wrong type is not
compiled, and neither are those built on it. So the compiler never meets a text where it reads a
list.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from controlplane.definitions.expect import Value
from controlplane.errors import DefinitionError, Location

_CALLED = {
    "BatchFeatureView": "feature view",
    "BatchSource": "source",
    "Entity": "entity",
    "FeatureService": "feature service",
    "RequestSource": "request",
    "Calculation": "calculation",
    "RealtimeFeature": "realtime feature",
}
_INNER = {"RequestSource", "Calculation", "RealtimeFeature"}
_WORDS: Mapping[Any, tuple[str, str]] = {
    str: ("text", "texts"),
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    Decimal: ("a decimal", "decimals"),
    date: ("a date", "dates"),
    Path: ("a path", "paths"),
}
_PLAIN_TYPES = {str, Path, Decimal, date, NoneType}
"""Types for which `isinstance` is enough; not so int and float: True is an int for Python."""
_LEAVES = (str, int, float, NoneType)
_EXAMPLES = {
    "columns": 'expect.unique("user_id", "paid_at")',
    "entities": "entities=[user]",
    "event_time_bounds": 'event_time_bounds=("-6h", "0s")',
    "expectations": 'expectations=[expect.not_null("amount")]',
    "features": 'features=[Attribute("country", "string"), Aggregate("count", windows=["1h"])]',
    "fields": 'fields={"amount": "int64"}',
    "keys": 'keys={"user_id": "int64"}',
    "nullable": 'nullable=["amount"]',
    "owner": 'owner="team@example.com"',
    "request": 'request=RequestSource("basket", fields={"amount": "int64"})',
    "sources": "sources=[payments]",
    "tags": 'tags={"team": "retail"}',
    "tie_breaker": 'tie_breaker=["payment_id"]',
    "values": 'expect.one_of("country", ["DE", "FR"])',
    "windows": 'windows=["1h", "1d"]',
}
_ITEMS_BELOW = {
    ("BatchFeatureView", "features"),
    ("BatchFeatureView", "expectations"),
    ("BatchSource", "expectations"),
    ("FeatureService", "features"),
}
"""Lists whose items the compiler checks itself: it has better messages for wrong ones."""
_OF_SERVICES = (
    "features=[spend, calculation(...)], with feature views, some features of one, or calculations"
)

_LONGEST_VALUE = 80  # characters of a value that a message repeats; names have 63 at most
Test = Callable[[Any], bool]


class Shapes:
    """Checks each definition once, and collects the `problems`."""

    def __init__(self) -> None:
        self.problems: list[DefinitionError] = []
        self._fine: dict[int, bool] = {}

    def fit(self, definition: object) -> bool:
        """Tell whether a definition, and all that it is built on, has arguments of right types.

        Wrong arguments are added to `problems`.
        """
        return self._checked(definition, (), Location(""))

    def _checked(self, value: object, around: tuple[object, ...], where: Location) -> bool:
        """Check a value inside others: `around`, the outermost first."""
        known = self._fine.get(id(value))
        if known is not None:
            return known
        where = getattr(value, "location", where)
        chain, fine = (*around, value), True
        definition_type: type = type(value)
        for name, hint, test in _hints(definition_type):
            argument = getattr(value, name)
            if not test(argument):
                self._note(chain, name, hint, where)
                fine = False
                continue
            for part in argument if isinstance(argument, list | tuple) else (argument,):
                inner: type = type(part)
                if (
                    inner not in _PLAIN_TYPES
                    and _hints(inner)
                    and not self._checked(part, chain, where)
                ):
                    fine = False
        # By identity: definitions with lists or dicts are not hashable.
        self._fine[id(value)] = fine
        return fine

    def _note(self, chain: tuple[object, ...], name: str, hint: Any, where: Location) -> None:  # noqa: ANN401
        subject, value = "", chain[-1]
        for definition in chain:
            subject = _called(definition, subject)
        argument = getattr(value, name)
        observed = f"not {_described(argument)}"
        item = _item(hint)
        if isinstance(argument, Mapping) and typing.get_origin(hint) is Mapping:
            key, inner = map(_test, typing.get_args(hint))
            observed = "and one entry is {!r}: {!r}".format(
                *next(kv for kv in argument.items() if not (key(kv[0]) and inner(kv[1])))
            )
        elif item is not None and isinstance(argument, list | tuple):
            observed = (
                f"and one of them is {_described(next(i for i in argument if not _test(item)(i)))}"
            )
        example = _EXAMPLES.get(name)
        # Definitions of three classes have an argument `features`, each with other values.
        if name == "features" and type(value).__name__ == "FeatureService":
            example = _OF_SERVICES
        if name == "features" and type(value).__name__ == "Selection":
            example = 'view.only("count_1h", "count_1d")'
        remedy = f"write {example}" if example else _remedy(name, hint)
        self.problems.append(
            DefinitionError(
                f"{subject}: {name} must be {_words(hint)}, {observed}", where=where, hint=remedy
            )
        )


def _called(value: Any, inside: str) -> str:  # noqa: ANN401 - users' own
    """Return what messages call a definition."""
    match type(value).__name__:
        case kind if kind in _CALLED:
            own = f"{_CALLED[kind]} {_described(value.name)}"
            return f"{inside}, {own}" if kind in _INNER and inside else own
        case "Aggregate":
            if isinstance(value.function, str):
                return (
                    f"{inside},"
                    f" {value.function}({value.column if isinstance(value.column, str) else ''})"
                )
            return f"{inside}, Aggregate"
        case "Attribute":
            return f"{inside}, attribute {_described(value.name)}"
        case kind:
            return f"{inside}, {kind}"


@lru_cache
def _hints(definition_type: type) -> Sequence[tuple[str, Any, Test]]:
    """Return the arguments of a class of definitions: name, annotation and test of each."""
    if not dataclasses.is_dataclass(definition_type) or not definition_type.__module__.startswith(
        "controlplane.definitions"
    ):
        return ()
    hints = typing.get_type_hints(definition_type)
    named = [
        (field.name, hints[field.name])
        for field in dataclasses.fields(definition_type)
        if field.name != "location"
    ]
    below = {name for owner, name in _ITEMS_BELOW if owner == definition_type.__name__}
    return [(name, hint, _is_list if name in below else _test(hint)) for name, hint in named]


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


@lru_cache
def _test(hint: Any) -> Test:  # noqa: ANN401 - any annotation
    """Return the test of whether a value fits an annotation."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case origin if origin in (typing.Union, UnionType):
            if {*parts} <= _PLAIN_TYPES:
                return lambda value: isinstance(value, parts)
            # Each argument of each view is tested: one call of isinstance tests most values.
            simple = tuple(part for part in parts if part in _PLAIN_TYPES)
            tests = [_test(part) for part in parts if part not in _PLAIN_TYPES]
            return lambda value: isinstance(value, simple) or any(test(value) for test in tests)
        case origin if origin is Sequence:
            item = _test(parts[0])
            return lambda value: isinstance(value, list | tuple) and all(map(item, value))
        case origin if origin is tuple:
            each = [_test(part) for part in parts]
            return lambda value: (
                isinstance(value, list | tuple)
                and len(value) == len(each)
                and all(test(item) for test, item in zip(each, value, strict=True))
            )
        case origin if origin is Mapping:
            key, inner = map(_test, parts)
            return lambda value: (
                isinstance(value, Mapping) and all(key(k) and inner(v) for k, v in value.items())
            )
        case origin if origin is Callable:
            return callable
    if hint is float:
        return lambda value: isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    return lambda value: isinstance(value, hint)


def _item(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return the annotation of a list's items; None for other annotations."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Sequence else None


def _words(hint: Any, *, many: bool = False) -> str:  # noqa: ANN401 - any annotation
    """Describe an annotation in words."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case origin if origin in (typing.Union, UnionType):
            if set(typing.get_args(Value)) <= set(parts):
                return "values of a column" if many else "a value of a column"
            return " or ".join(
                dict.fromkeys(_words(part, many=many) for part in parts if part is not NoneType)
            )
        case origin if origin is Sequence:
            return f"a list of {_words(parts[0], many=True)}"
        case origin if origin is tuple:
            return f"{len(parts)} {_words(parts[0], many=True)}"
        case origin if origin is Mapping:
            key, value = (_words(part, many=True) for part in parts)
            return f"a dict of {key} to {value}"
        case origin if origin is Callable:
            return "a function"
    if hint in _WORDS:
        return _WORDS[hint][many]
    name: str = hint.__name__
    return name if many else f"{_article(name)} {name}"


def _described(value: object) -> str:
    """Show a value in a message, in at most one line."""
    if value is None or isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    return f"{_article(type(value).__name__)} {type(value).__name__}"


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOaeio" else "a"


def _remedy(name: str, hint: Any) -> str:  # noqa: ANN401 - any annotation
    kinds = [part for part in typing.get_args(hint) or (hint,) if part is not NoneType]
    if str in kinds:
        return f'put it into quotes: {name}="..."'
    if kinds == [bool]:
        return f"write {name}=True or {name}=False"
    if kinds in ([int], [float]):
        return f"write a number without quotes, such as {name}=2"
    return "see help() of this argument"
