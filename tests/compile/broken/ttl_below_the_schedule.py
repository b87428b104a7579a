"""A row that would expire before the next run could bring one."""

from good import events, thing

from controlplane import Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("word", "string")],
    schedule="1h",
    start="2024-01-01",
    ttl="30m",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
