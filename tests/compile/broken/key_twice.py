"""Two entities with the same key column."""

from good import events, thing

from controlplane import Aggregate, Entity, batch_feature_view

other = Entity("other", keys={"K": "string"}, owner="team@example.com")


@batch_feature_view(
    entities=[thing, other],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
