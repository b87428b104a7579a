"""Conditions that do not parse, are no condition, hold a query, change with the clock."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("count", windows=["1h"], where="amt >", name="one"),
        Aggregate("count", windows=["1h"], where="amt + 1", name="two"),
        Aggregate("count", windows=["1h"], where="amt IN (SELECT 1)", name="three"),
        Aggregate("count", windows=["1h"], where="1 = 1) OR (1 = 2", name="four"),
        Aggregate("count", windows=["1h"], where="ts > now()", name="five"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
