"""Two statements where one SELECT is wanted, and one that is no SELECT."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


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
    return f"SELECT * FROM {events}; SELECT 1"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def other(events):
    """What is looked at."""
    return "DROP TABLE raw.events"
