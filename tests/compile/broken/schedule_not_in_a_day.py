"""A schedule that does not divide a day, and one of nothing."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="7h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="0s",
    start="2024-01-01",
    owner="team@example.com",
)
def other(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
