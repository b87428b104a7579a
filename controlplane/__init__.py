"""controlplane: a feature platform over the warehouse, the Airflow and the Redis that a team
already runs.

Importing it loads nothing: each name loads its own part when it is first asked for. A definition
file needs no SDK, and a model's process neither the definitions nor the compiler.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.api.facade import ControlPlane
    from controlplane.client import AsyncFeatureClient, FeatureClient
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
_MODULES = {
    "AsyncFeatureClient": "controlplane.client",
    "ControlPlane": "controlplane.api.facade",
    "FeatureClient": "controlplane.client",
}
"""Of the names that are not definitions."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "controlplane.definitions")), name)


def __dir__() -> list[str]:
    # Completion and "did you mean" also know the names that nobody has asked for yet.
    return sorted({*globals(), *__all__})
