"""Feature services: the features that one model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.definitions.calculations import Calculation
from controlplane.definitions.location import caller
from controlplane.definitions.realtime import RealtimeFeature
from controlplane.definitions.sources import RequestSource
from controlplane.definitions.views import BatchFeatureView, Selection
from controlplane.errors import Location


@dataclass(frozen=True)
class FeatureService:
    """The features that one model reads, for training and for serving.

    Args:
        name: letters, digits and single underscores.
        features: feature views, or some features of a view by `view.only("count_1h")`; and
            calculations and realtime features over them, which come after the features of views.
        request: the values that callers send with each read, for calculations and realtime
            features.
        owner: the person or team responsible for the model's inputs.
        description: one sentence for other users.
    """

    name: str
    # Ordered: a calculation may read only calculations that precede it.
    features: Sequence[BatchFeatureView | Selection | Calculation | RealtimeFeature] = field(
        kw_only=True
    )
    owner: str = field(kw_only=True)
    request: RequestSource | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)
