"""What models read: online values with a status for each feature. It writes nothing."""

from controlplane.serving.layout import Calculations, ServiceLayout, ViewLayout
from controlplane.serving.online import AsyncOnlineReader, OnlineReader
from controlplane.serving.reader import ServiceReader
from controlplane.serving.request import Requests
from controlplane.serving.vector import FeatureVector, FeatureVectors, Names, Status

__all__ = [
    "AsyncOnlineReader",
    "Calculations",
    "FeatureVector",
    "FeatureVectors",
    "Names",
    "OnlineReader",
    "Requests",
    "ServiceLayout",
    "ServiceReader",
    "Status",
    "ViewLayout",
]
