"""A key that the SQL does not return, and one of another type."""

from good import events

from controlplane import Aggregate, Entity, batch_feature_view

other = Entity("other", keys={"amt": "string", "nope": "int64"}, owner="team@example.com")


@batch_feature_view(
    entities=[other],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
