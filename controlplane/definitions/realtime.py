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
    """A feature that a Python function computes from others. `realtime_feature` creates it."""

    name: str
    type: str
    function: Callable[..., Any]
    description: str = ""
    location: Location = field(kw_only=True, compare=False, repr=False)


def realtime_feature(type: str) -> Callable[[Callable[..., Any]], RealtimeFeature]:  # noqa: A002
    """Declare a feature that a Python function computes from one row, in training and online.

    Add it to a feature service's `features`, together with the views that it needs. The name
    of the function is the feature's name, and its docstring is the description. Its parameters name
    its inputs: features of the service by their full names `view__feature`, fields of its request,
    and calculations and realtime features that precede it in the service.

    The function must run without its module: it uses no other name of its file, and imports modules
    inside its body. It may import only modules of Python that behave the same in every process
    (`math`, `datetime`, `json`, `re`, ...). Nulls are None, timestamps are datetimes with the time
    zone UTC, and decimals are `Decimal`.

    Args:
        type: the type of the function's result, which may also be None (see
            `controlplane.base.types`).
    """
    where = caller()

    def declare(function: Callable[..., Any]) -> RealtimeFeature:
        # Users may decorate anything; `compile` reports what is not a function.
        code = getattr(function, "__code__", None)
        location = where if code is None else Location(where.file, code.co_firstlineno)
        name = getattr(function, "__name__", repr(function))
        return RealtimeFeature(
            name, type, function, inspect.getdoc(function) or "", location=location
        )

    return declare
