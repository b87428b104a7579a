"""Case B15: sources whose names are words of SQL."""

from good import events, thing

from controlplane import Aggregate, BatchSource, batch_feature_view

order = BatchSource("order", table="raw.events", timestamp="ts")
values = BatchSource("values", table="raw.things")


@batch_feature_view(
    entities=[thing],
    sources=[order, events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(order, events):
    """What is looked at."""
    return f"SELECT * FROM {order}"
