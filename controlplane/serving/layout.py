"""What a reader has to know of a feature service: plain data, one JSON form, made when the service
is deployed."""

from __future__ import annotations

import msgspec

from controlplane.base import naming
from controlplane.codec import Layout
from controlplane.manifest.specs import RequestField


class ViewLayout(msgspec.Struct, frozen=True):
    """One version of one feature view.

    Args:
        view: its name.
        version: its fingerprint, which is part of every key.
        layout: of its values.
        features: those that the service reads, in order.
        request_keys: entity key -> what a request calls it, where the two differ.
    """

    view: str
    version: str
    layout: Layout
    features: tuple[str, ...]
    request_keys: dict[str, str] = {}


class Calculations(msgspec.Struct, frozen=True):
    """What is calculated from a service's features and request.

    Args:
        names: of the calculations, in order.
        types: of each, canonical.
        inputs: the features, by full name, and request fields that the query takes a list of each.
        query: gives the calculations of each row; see `ports.Calculator`.
        functions: the statements that make the functions which the query calls.
        sources: calculation -> the features that it comes from, be it through others.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    inputs: tuple[str, ...]
    query: str
    sources: dict[str, tuple[str, ...]]
    functions: tuple[str, ...] = ()


class ServiceLayout(msgspec.Struct, frozen=True):
    """One feature service.

    Args:
        name: of the service.
        namespace: of the environment, see `naming.namespace`.
        views: what is read, in order. A view may stand here in several versions: the first is read
            where the store names none of them, and says which features are read; another version
            may lack some of these.
        calculations: what is calculated from the features; None if nothing is.
        request: what callers give, in order.
    """

    name: str
    namespace: str
    views: tuple[ViewLayout, ...]
    calculations: Calculations | None = None
    request: tuple[RequestField, ...] = ()

    @property
    def types(self) -> dict[str, str]:
        """The features in order, by full name, and their canonical types: those of each view's
        first version."""
        found: dict[str, str] = {}
        first: dict[str, ViewLayout] = {}
        for view in self.views:
            first.setdefault(view.view, view)
        for view in first.values():
            kinds = {field.name: field.type for field in view.layout.fields}
            found |= {
                naming.feature(view.view, feature): kinds[feature] for feature in view.features
            }
        calculated = self.calculations
        return found | (
            dict(zip(calculated.names, calculated.types, strict=True)) if calculated else {}
        )
