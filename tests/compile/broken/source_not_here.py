"""A source that no file of the project defines."""

from good import thing

from controlplane import Aggregate, BatchSource, batch_feature_view


def hidden():
    return BatchSource("hidden", table="raw.events", timestamp="ts")


@batch_feature_view(
    entities=[thing],
    sources=[hidden()],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(hidden):
    """What is looked at."""
    return f"SELECT * FROM {hidden}"
