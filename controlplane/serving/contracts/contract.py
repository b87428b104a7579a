"""A feature service's contract: keys and request fields in, features out.

Only a change of these changes its version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from controlplane.base import naming
from controlplane.codec.column import Column
from controlplane.manifest.specs import Manifest, RequestField


class Feature(msgspec.Struct, frozen=True):
    """A feature by its full name. Every feature may be null."""

    name: str
    type: str
    description: str = ""


class Contract(msgspec.Struct, frozen=True):
    """What callers pass to one feature service, and what it returns.

    Args:
        service: the service's name.
        version: 8 hexadecimal digits of a hash of the names and types, in their order.
        description: the service's description.
        keys: the name and type of each key. Every key may be null.
        request: the fields that callers pass in addition to the keys.
        features: the features, in the order of every vector.
    """

    service: str
    version: str
    description: str
    keys: tuple[tuple[str, str], ...]
    request: tuple[RequestField, ...]
    features: tuple[Feature, ...]

    @property
    def columns(self) -> list[Column]:
        """The columns of a row with keys, request fields and features."""
        keys = [Column(name, key_type, True, {"role": "key"}) for name, key_type in self.keys]
        request = [
            Column(field.name, field.type, field.nullable, {"role": "request"})
            for field in self.request
        ]
        return [
            *keys,
            *request,
            *(
                Column(field.name, field.type, True, {"role": "feature", **_said(field)})
                for field in self.features
            ),
        ]

    @property
    def types(self) -> list[str]:
        """The type of each column."""
        return [column.type for column in self.columns]

    @property
    def metadata(self) -> dict[str, str]:
        """The service and the version of the contract."""
        return {"service": self.service, "version": self.version}

    @property
    def title(self) -> str:
        """The service's name in the form of a type's name: `LateArrival`."""
        return "".join(part[:1].upper() + part[1:] for part in self.service.split("_"))


def contract(manifest: Manifest, service: str) -> Contract:
    """Return the contract of a service.

    Raises:
        PlaneError: there is no such service.
    """
    spec = manifest.service(service)
    views = manifest.views_of(spec)
    keys = tuple({name: key_type for view in views for name, key_type in view.keys}.items())
    features = tuple(_features(manifest, service))
    # Not the descriptions: a better text is no reason for callers to generate their code again.
    decides = (keys, spec.request, [(feature.name, feature.type) for feature in features])
    version = hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:8]
    return Contract(service, version, spec.description, keys, spec.request, features)


def _features(manifest: Manifest, service: str) -> Iterator[Feature]:
    spec = manifest.service(service)
    for view_name, name in spec.features:
        feature = next(f for f in manifest.view(view_name).features if f.name == name)
        yield Feature(naming.feature(view_name, name), feature.type, feature.description)
    for calculation in spec.calculations:
        yield Feature(calculation.name, calculation.type, calculation.description)


def _said(feature: Feature) -> dict[str, str]:
    return {"description": feature.description} if feature.description else {}
