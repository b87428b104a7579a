"""Connectors, which are found by the entry point `controlplane.connectors` and loaded when asked
for.

The only door to them: nobody imports one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

import msgspec

from controlplane.base.ports import AsyncOnlineStore, Calculator, Function, OnlineStore, Warehouse
from controlplane.errors import MissingDriver, SettingsError

_TYPES = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
"""What msgspec calls types -> what people who write TOML call them."""


def connector(kind: str, group: str = "controlplane.connectors") -> Callable[..., Any]:
    """The `connect` function of a connector.

    Raises:
        SettingsError: no installed package offers such a connector.
        MissingDriver: its driver is not installed; the hint names the extra.
        SettingsError: its driver can't be loaded in this environment.
    """
    found = _connectors(group)
    if kind not in found:
        raise SettingsError(
            f"there is no connector {kind!r}", hint=f"choose from: {', '.join(sorted(found))}"
        )
    try:
        loaded: Callable[..., Any] = found[kind].load()
    except ImportError as error:
        hint = f"pip install 'controlplane[{kind}]'"
        raise MissingDriver(f"the driver of {kind} is not installed: {error}", hint=hint) from None
    except RuntimeError as error:  # Snowflake's driver looks for its user's home as it is imported
        text = f"the driver of {kind} can't be loaded: {error}"
        raise SettingsError(text, hint="set HOME to a folder of this user") from None
    return loaded


@cache
def _connectors(group: str) -> Mapping[str, EntryPoint]:
    """Find the connectors of all installed packages by name; the search takes 30 ms."""
    return {point.name: point for point in entry_points(group=group)}


def option_names(kind: str) -> Sequence[str]:
    """Return the names of a connector's options.

    Raises:
        PlaneError: the connector or its driver is missing.
    """
    return list(inspect.signature(connector(kind)).parameters)


def open_warehouse(kind: str, config: Mapping[str, object]) -> Warehouse:
    """Open a warehouse with a connector's own options.

    Raises:
        PlaneError: the connector is missing, an option is unknown, or the connection fails.
    """
    warehouse: Warehouse = _called(kind, config)
    return warehouse


def open_store(config: Mapping[str, object]) -> OnlineStore:
    """Open an online store; `kind` in its options is `redis` unless given.

    Raises:
        PlaneError: the connector is missing, an option is unknown, or the connection fails.
    """
    options = dict(config)
    store: OnlineStore = _called(str(options.pop("kind", "redis")), options)
    return store


def open_async_store(config: Mapping[str, object]) -> AsyncOnlineStore:
    """Open an online store for reads from the running event loop, with the options of `open_store`.

    Raises:
        PlaneError: the connector is missing or can't be read from an event loop, or an option is
            wrong.
    """
    name = str(config.get("kind", "redis"))
    # Both connectors get the same table of plane.toml: options that only writers have are left out.
    connect = connector(name, "controlplane.async_connectors")
    options = {
        option: value
        for option, value in config.items()
        if option in inspect.signature(connect).parameters
    }
    store: AsyncOnlineStore = connect(**_typed(connect, name, options))
    return store


def _called(name: str, options: Mapping[str, object]) -> Any:  # noqa: ANN401 - any connector's
    connect = connector(name)
    try:
        inspect.signature(connect).bind(**options)
    except TypeError as error:
        hint = f"its options are: {', '.join(inspect.signature(connect).parameters)}"
        # So called from Python 3.12 on.
        text = str(error).replace("keyword-only argument", "argument")
        raise SettingsError(f"connector {name!r}: {text}", hint=hint) from None
    return connect(**_typed(connect, name, options))


def _typed(connect: Callable[..., Any], name: str, options: Mapping[str, object]) -> dict[str, Any]:
    """Convert options to the types that `connect` declares.

    A number may be a text: environment variables are texts.

    Raises:
        SettingsError: an option has another type. Its value is not repeated: it may be a secret.
    """
    try:
        types = get_type_hints(connect)
    except NameError:  # a connector of another package, whose types are imported for checkers alone
        return dict(options)
    typed = {}
    for option, value in options.items():
        try:
            typed[option] = msgspec.convert(value, types.get(option, Any), strict=False)
        except msgspec.ValidationError as error:
            text = str(error).replace("`", "").replace(" | null", "")
            text, _, path = text.partition(" - at ")
            for word, plain in _TYPES.items():
                text = re.sub(rf"\b{word}\b", plain, text)
            element = path.removeprefix("$").replace("[...]", "")
            raise SettingsError(
                f"connector {name!r}: option `{option}{element}`: {text[:1].lower()}{text[1:]}",
                hint="correct its value",
            ) from None
    return typed


def open_calculator(query: str, functions: Sequence[Function] = ()) -> Calculator:
    """Prepare a query over rows in memory, with the functions that it calls.

    Raises:
        PlaneError: this process can't compute it.
    """
    calculator: Calculator = connector("calculator")(query=query, functions=functions)
    return calculator
