"""Events that are loaded long after they happened, and count when they happened."""

from joins import OWNER, user

from controlplane import Aggregate, Attribute, BatchSource, FeatureService, batch_feature_view

clicks = BatchSource("clicks", table="raw.clicks", timestamp="loaded_at", settling_delay="6h")


@batch_feature_view(
    entities=[user],
    sources=[clicks],
    schedule="1h",
    start="2013-03-09",
    timestamp="happened_at",
    event_time_bounds=("-6h", "0s"),
    features=[Aggregate("count", windows=["24h"]), Attribute("loaded_at", "timestamp")],
    online=False,
    owner=OWNER,
)
def user_clicks(clicks):
    """What a user clicked on within a day, by the phone's clock."""
    return f"SELECT user_id, happened_at, loaded_at FROM {clicks}"


activity = FeatureService("activity", features=[user_clicks], owner=OWNER)
