"""A time to live that is not a multiple of the schedule."""

from good import events, thing

from controlplane import Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("word", "string")],
    schedule="1h",
    start="2024-01-01",
    lateness="90m",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
