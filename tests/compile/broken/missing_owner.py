"""Nobody answers for the view, the entity and the service."""

from good import events, thing

from controlplane import Aggregate, Entity, FeatureService, batch_feature_view

other = Entity("other", keys={"k": "string"}, owner="")


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


service = FeatureService("service", features=[subject], owner="")
