"""How a view's values look online."""

from __future__ import annotations

from controlplane.codec import Field, Layout
from controlplane.manifest.specs import AggregateSpec, ViewSpec


def layout(view: ViewSpec) -> Layout:
    """How the view's rows look online: its keys, and its features with their defaults, in declared
    order."""
    fields = tuple(
        Field(name=f.name, type=f.type, default=f.default if isinstance(f, AggregateSpec) else None)
        for f in view.features
    )
    return Layout(keys=view.keys, fields=fields, ttl=view.ttl)
