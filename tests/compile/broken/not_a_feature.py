"""Something among the features that is none."""

from good import events, thing

from controlplane import batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=["amt"],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
