"""controlplane: a feature platform over the warehouse, the Airflow and the Redis that a team
already runs.

Importing it loads only what definitions need; `ControlPlane` and the clients load the rest when
they are asked for.
"""

import importlib
from typing import TYPE_CHECKING

from controlplane.definitions import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Calculation,
    Calendar,
    Entity,
    FeatureService,
    RealtimeFeature,
    RequestSource,
    Selection,
    Series,
    batch_feature_view,
    calculation,
    expect,
    realtime_feature,
)

if TYPE_CHECKING:
    from controlplane.api.facade import ControlPlane
    from controlplane.client import AsyncFeatureClient, FeatureClient

__all__ = [
    "Aggregate",
    "AsyncFeatureClient",
    "Attribute",
    "BatchFeatureView",
    "BatchSource",
    "Calculation",
    "Calendar",
    "ControlPlane",
    "Entity",
    "FeatureClient",
    "FeatureService",
    "RealtimeFeature",
    "RequestSource",
    "Selection",
    "Series",
    "batch_feature_view",
    "calculation",
    "expect",
    "realtime_feature",
]
__version__ = "0.1.0"
_LATER = {
    "AsyncFeatureClient": "controlplane.client",
    "ControlPlane": "controlplane.api.facade",
    "FeatureClient": "controlplane.client",
}


def __getattr__(name: str) -> object:
    if name in _LATER:
        # lazy: the SDK takes a second to import, and definition files do not need it
        found: object = getattr(importlib.import_module(_LATER[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
