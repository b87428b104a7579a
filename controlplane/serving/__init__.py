"""What models read: online values with a status for each feature. It writes nothing."""

from controlplane.serving.layout import ServiceLayout, ViewLayout
from controlplane.serving.reader import OnlineReader
from controlplane.serving.vector import FeatureVector, Status

__all__ = ["FeatureVector", "OnlineReader", "ServiceLayout", "Status", "ViewLayout"]
