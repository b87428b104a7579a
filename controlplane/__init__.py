"""controlplane: a feature platform on top of the warehouse, Airflow and Redis that a team runs.

Importing the package imports none of its modules: each public name imports its own module at its
first use. So the process of a model imports neither the definitions nor the compiler.
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
"""Public name -> its module. All other public names are in `controlplane.definitions`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "controlplane.definitions")), name)


def __dir__() -> list[str]:
    # Completion and "did you mean" must also offer the names that are not imported yet.
    return sorted({*globals(), *__all__})
