"""An offset into the future, and one off the tile."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("count", windows=["1h"], offset="1h"),
        Aggregate("count", windows=["1h"], offset="-90m"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
