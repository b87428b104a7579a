"""The layout of one version of a feature view: its keys and features, in order."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from controlplane.base.types import is_list
from controlplane.errors import PlaneError

Default = int | tuple[int | None, ...] | None
"""What is read without a value: 0 for a count, a list (empty, or of a series), else None."""


class Field(msgspec.Struct, frozen=True):
    """One feature.

    Args:
        name: its name inside the view.
        type: canonical, see `controlplane.base.types.parse_type`.
        default: what is read if there is no value; a tuple is read as a list.
    """

    name: str
    type: str
    default: Default = None


class Layout(msgspec.Struct, frozen=True, cache_hash=True):
    """What a value of one version of a view contains.

    Args:
        keys: name and canonical type of each key part, in order.
        fields: the features in their order in a value.
        ttl: how long a value is served after its effective time; None: for ever.
    """

    keys: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]
    ttl: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.keys or not self.fields:
            raise PlaneError("a layout needs at least one key and one feature")
        for name, value_type in self.keys:
            if value_type == "float64" or is_list(value_type):
                raise PlaneError(
                    f"key {name!r} is of type {value_type}, which has no canonical text",
                    hint="use a string, int64, decimal, bool, date, timestamp or binary key",
                )
