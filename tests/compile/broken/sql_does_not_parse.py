"""SQL that does not parse."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELEC * FRM {events} WHERE ("
