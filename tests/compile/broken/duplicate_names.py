"""Two views, two sources and two entities of one name."""

from good import events, thing

from controlplane import Aggregate, BatchSource, Entity, batch_feature_view

again = Entity("Thing", keys={"k": "string"}, owner="team@example.com")
other = BatchSource("events", table="raw.events", timestamp="ts")


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


first = subject


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
