"""Durations beyond what any calendar knows."""

from good import events, thing

from controlplane import Aggregate, Series, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("count", windows=["9999999d", "99999999999999d"], name="one"),
        Aggregate("count", windows=["1h"], offset="-9999999d", name="two"),
        Aggregate("count", windows=[Series("1h", steps=366, step="36500d")], name="three"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
