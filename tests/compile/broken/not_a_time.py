"""Texts that say no duration, no time, no type; a number where text is wanted."""

from good import events, thing

from controlplane import Aggregate, Attribute, Entity, batch_feature_view

other = Entity("other", keys={"k": "varchar"}, owner="team@example.com")


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="hourly",
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
    schedule="1h",
    start="yesterday",
    owner="team@example.com",
)
def second(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule=3600,
    start="2024-01-01",
    owner="team@example.com",
)
def third(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("word", "text")],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def fourth(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
