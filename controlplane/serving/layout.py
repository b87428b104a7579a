"""What a reader needs to know of a feature service, as plain data with one JSON form.

It is made when the service is deployed.
"""

from __future__ import annotations

import msgspec

from controlplane.base import naming
from controlplane.base.ports import Function
from controlplane.codec import Layout
from controlplane.manifest.specs import RequestField


class ViewLayout(msgspec.Struct, frozen=True):
    """One version of one feature view.

    Args:
        view: the view's name.
        version: the view's fingerprint, which is part of every key.
        layout: the layout of the view's values.
        features: the features that the service reads, in order.
        request_keys: entity key -> its name in a request, if the two differ.
    """

    view: str
    version: str
    layout: Layout
    features: tuple[str, ...]
    request_keys: dict[str, str] = {}


class Calculations(msgspec.Struct, frozen=True):
    """The calculations over a service's features and request.

    Args:
        names: the names of the calculations, in order.
        types: the canonical type of each calculation.
        inputs: the features, by full name, and the request fields that the query takes as lists.
        query: returns the calculations of each row; see `ports.Calculator`.
        functions: the functions in Python that the query calls.
        sources: calculation -> the features that it depends on, directly or through others.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    inputs: tuple[str, ...]
    query: str
    sources: dict[str, tuple[str, ...]]
    functions: tuple[Function, ...] = ()


class ServiceLayout(msgspec.Struct, frozen=True):
    """One feature service.

    Args:
        name: the service's name.
        namespace: the environment's namespace, see `naming.namespace`.
        views: the views to read, in order. A view may have several versions here. The first version
            is read if the store names none of them. Its features are read; other versions may lack
            some of these.
        calculations: the calculations over the features; None if there are none.
        request: the fields that callers pass, in order.
    """

    name: str
    namespace: str
    views: tuple[ViewLayout, ...]
    calculations: Calculations | None = None
    request: tuple[RequestField, ...] = ()

    @property
    def types(self) -> dict[str, str]:
        """The canonical type of each feature, by full name and in order.

        The types are those of each view's first version, so that they are the same at every read.
        """
        feature_types: dict[str, str] = {}
        first: dict[str, ViewLayout] = {}
        for view in self.views:
            first.setdefault(view.view, view)
        for view in first.values():
            field_types = {field.name: field.type for field in view.layout.fields}
            # The layout may have more features than this service reads.
            feature_types |= {
                naming.feature(view.view, feature): field_types[feature]
                for feature in view.features
            }
        calculated = self.calculations
        return feature_types | (
            dict(zip(calculated.names, calculated.types, strict=True)) if calculated else {}
        )
