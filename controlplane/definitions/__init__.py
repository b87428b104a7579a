"""The definitions that users write, as frozen dataclasses.

They are entities, sources, feature views and feature services. Nothing is checked here: a
definition stores its arguments and its location, and `compile` reports all problems at once. No I/O
is done here.
"""

from controlplane.definitions import expect
from controlplane.definitions.calculations import Calculation, calculation
from controlplane.definitions.entities import Entity
from controlplane.definitions.features import Aggregate, Attribute
from controlplane.definitions.realtime import RealtimeFeature, realtime_feature
from controlplane.definitions.services import FeatureService
from controlplane.definitions.sources import BatchSource, RequestSource
from controlplane.definitions.views import BatchFeatureView, Selection, batch_feature_view
from controlplane.definitions.windows import Calendar, Series

__all__ = [
    "Aggregate",
    "Attribute",
    "BatchFeatureView",
    "BatchSource",
    "Calculation",
    "Calendar",
    "Entity",
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
