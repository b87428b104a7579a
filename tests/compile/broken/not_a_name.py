"""Names that are not names."""

from good import events, thing

from controlplane import Aggregate, Entity, batch_feature_view

one = Entity("two words", keys={"k": "string"}, owner="team@example.com")


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def a__b(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
