"""Realtime features: Python functions of a service's features and request fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controlplane.definitions.location import caller
from controlplane.errors import Location


@dataclass(frozen=True)
class RealtimeFeature:
    """A feature that a Python function computes from others. Made by `realtime_feature`."""

    name: str
    type: str
    function: Callable[..., Any]
    description: str = ""
    location: Location = field(kw_only=True, compare=False, repr=False)


def realtime_feature(type: str) -> Callable[[Callable[..., Any]], RealtimeFeature]:  # noqa: A002
    """Declare a feature that a Python function computes from one row, in training and online alike.

    It stands in a feature service's `features`, beside the views that it needs. The function's name
    is the feature's, its docstring the description; its parameters name what it is computed from:
    features of the service by their full names `view__feature`, fields of its request, and
    calculations and realtime features that stand before it.

    The function stands for itself: it uses nothing that its file defines beside it, and imports,
    inside, what is part of Python and gives the same everywhere (`math`, `datetime`, `json`, `re`,
    ...). Nulls are None, timestamps aware datetimes in UTC, decimals `Decimal`.

    Args:
        type: what the function returns, or None (see `controlplane.base.types`).
    """
    where = caller()

    def declare(function: Callable[..., Any]) -> RealtimeFeature:
        code = getattr(function, "__code__", None)
        location = where if code is None else Location(where.file, code.co_firstlineno)
        name = getattr(function, "__name__", repr(function))
        return RealtimeFeature(
            name, type, function, inspect.getdoc(function) or "", location=location
        )

    return declare
