"""controlplane: a feature platform over the warehouse, the Airflow and the Redis that a team already runs.

Importing it loads only what definitions need; `ControlPlane` and `FeatureClient` load the rest when they are asked for.
"""

import importlib
from typing import TYPE_CHECKING

from controlplane.definitions import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    FeatureService,
    Selection,
    batch_feature_view,
)

if TYPE_CHECKING:
    from controlplane.sdk import ControlPlane, FeatureClient

__all__ = [
    "Aggregate",
    "Attribute",
    "BatchFeatureView",
    "BatchSource",
    "ControlPlane",
    "Entity",
    "FeatureClient",
    "FeatureService",
    "Selection",
    "batch_feature_view",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("ControlPlane", "FeatureClient"):
        # lazy: the SDK takes a second to import, and definition files do not need it
        found: object = getattr(importlib.import_module("controlplane.sdk"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
