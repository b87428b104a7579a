"""A service with a feature that is not there, one twice, something that is no view, and one with
nothing."""

from good import events, thing

from controlplane import Aggregate, FeatureService, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


service = FeatureService(
    "service",
    features=[subject.only("nope"), subject, subject.only("count_1h"), "subject"],
    owner="team@example.com",
)
empty = FeatureService("empty", features=[], owner="team@example.com")
