"""A feature service's contract: keys and request fields in, features out.

Its version changes with these alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from controlplane.base import naming
from controlplane.codec.arrow_schema import Column
from controlplane.manifest.specs import Manifest, RequestField
from controlplane.sql.training import views_of


class Feature(msgspec.Struct, frozen=True):
    """A feature by its full name; every one may be null."""

    name: str
    type: str
    description: str = ""


class Contract(msgspec.Struct, frozen=True):
    """What one feature service takes and gives.

    Args:
        service: its name.
        version: 8 hexadecimal digits that follow from the names and types, in their order.
        description: of the service.
        keys: name and type of each; each may be null.
        request: what callers give beside the keys.
        features: in the order of every vector.
    """

    service: str
    version: str
    description: str
    keys: tuple[tuple[str, str], ...]
    request: tuple[RequestField, ...]
    features: tuple[Feature, ...]

    @property
    def columns(self) -> list[Column]:
        """A row with what was given and what was found."""
        keys = [Column(name, kind, True, {"role": "key"}) for name, kind in self.keys]
        request = [
            Column(one.name, one.type, one.nullable, {"role": "request"}) for one in self.request
        ]
        return [
            *keys,
            *request,
            *(
                Column(one.name, one.type, True, {"role": "feature", **_said(one)})
                for one in self.features
            ),
        ]

    @property
    def types(self) -> list[str]:
        """The type of each column."""
        return [one.type for one in self.columns]

    @property
    def metadata(self) -> dict[str, str]:
        """Which contract it is."""
        return {"service": self.service, "version": self.version}

    @property
    def title(self) -> str:
        """The service's name as types are named: `LateArrival`."""
        return "".join(part[:1].upper() + part[1:] for part in self.service.split("_"))


def contract(manifest: Manifest, service: str) -> Contract:
    """The contract of a service.

    Raises:
        PlaneError: there is no such service.
    """
    spec = manifest.service(service)
    keys = tuple(
        {name: kind for view in views_of(manifest, spec) for name, kind in view.keys}.items()
    )
    features = tuple(_features(manifest, service))
    decides = (keys, spec.request, [(one.name, one.type) for one in features])
    version = hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:8]
    return Contract(service, version, spec.description, keys, spec.request, features)


def _features(manifest: Manifest, service: str) -> Iterator[Feature]:
    spec = manifest.service(service)
    for view_name, name in spec.features:
        found = next(one for one in manifest.view(view_name).features if one.name == name)
        yield Feature(naming.feature(view_name, name), found.type, found.description)
    for one in spec.calculations:
        yield Feature(one.name, one.type, one.description)


def _said(feature: Feature) -> dict[str, str]:
    return {"description": feature.description} if feature.description else {}
