"""controlplane: a feature platform over the warehouse, the Airflow and the Redis that a team already runs.

Importing it loads only what definitions need; `plane` and the SDK load the rest when they need it.
"""

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

__all__ = [
    "Aggregate",
    "Attribute",
    "BatchFeatureView",
    "BatchSource",
    "Entity",
    "FeatureService",
    "Selection",
    "batch_feature_view",
]
__version__ = "0.1.0"
