"""Aggregates over a table that has no event time."""

from good import thing

from controlplane import Aggregate, BatchSource, batch_feature_view

static = BatchSource("static", table="raw.events")


@batch_feature_view(
    entities=[thing],
    sources=[static],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(static):
    """What is looked at."""
    return f"SELECT * FROM {static}"
