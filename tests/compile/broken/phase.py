"""A phase that is no shift of the grid, and a start beside the shifted grid."""

from good import events, thing

from controlplane import Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("word", "string")],
    schedule="1d",
    phase="29h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("word", "string")],
    schedule="7d",
    phase="4d",
    start="2024-01-04",
    owner="team@example.com",
)
def weekly(events):
    """Weeks begin on Mondays here, and the start is a Thursday."""
    return f"SELECT * FROM {events}"
