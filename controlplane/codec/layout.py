"""The layout of one version of a feature view: which keys, which features, in which order."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from controlplane.base.types import is_list
from controlplane.errors import PlaneError

Default = int | tuple[int | None, ...] | None
"""What is read where there is no value: a count's 0, a list (empty, or of a series), else None."""


class Field(msgspec.Struct, frozen=True):
    """One feature.

    Args:
        name: its name inside the view.
        type: canonical, see `controlplane.base.types.parse_type`.
        default: what is read where there is no value; a tuple is read as a list.
    """

    name: str
    type: str
    default: Default = None


class Layout(msgspec.Struct, frozen=True, cache_hash=True):
    """What a value of one version of a view holds.

    Args:
        keys: name and canonical type of each key part, in order.
        fields: the features in the order in which a value holds them.
        ttl: how long a value is served after its effective time; None: for ever.
    """

    keys: tuple[tuple[str, str], ...]
    fields: tuple[Field, ...]
    ttl: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.keys or not self.fields:
            raise PlaneError("a layout needs at least one key and one feature")
        for name, kind in self.keys:
            if kind == "float64" or is_list(kind):
                raise PlaneError(
                    f"key {name!r} is of type {kind}, which has no one spelling",
                    hint="use a string, int64, decimal, bool, date, timestamp or binary key",
                )
