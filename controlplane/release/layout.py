"""The layout of a view's values in the online store."""

from __future__ import annotations

from controlplane.codec import Field, Layout
from controlplane.manifest.specs import AggregateSpec, ViewSpec


def layout(view: ViewSpec) -> Layout:
    """Return the layout of a view's online rows: keys, and features with defaults, in order."""
    # The order of the features is part of the format: a stored value has no names.
    fields = tuple(
        Field(name=f.name, type=f.type, default=f.default if isinstance(f, AggregateSpec) else None)
        for f in view.features
    )
    return Layout(keys=view.keys, fields=fields, ttl=view.ttl)
