"""Problems of every kind in one file: all are told at once."""

from good import events, thing

from controlplane import Aggregate, BatchSource, FeatureService, batch_feature_view

lost = BatchSource("lost", table="raw.lost", timestamp="ts", settling_delay="soon")


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("sum", "nope", windows=["1h"]), Aggregate("median", "amt", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="7h",
    start="2024-01-01",
    owner="team@example.com",
)
def other(events):
    """What is looked at."""
    return "SELEC 1"


service = FeatureService("service", features=[subject.only("nope")], owner="")
