"""What models read: online values with a status for each feature. It writes nothing."""

from controlplane.serving.layout import Calculations, ServiceLayout, ViewLayout
from controlplane.serving.reader import OnlineReader
from controlplane.serving.vector import FeatureVector, Status

__all__ = ["Calculations", "FeatureVector", "OnlineReader", "ServiceLayout", "Status", "ViewLayout"]
