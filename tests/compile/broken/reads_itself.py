"""A view that reads its own table."""

from good import thing

from controlplane import Aggregate, BatchSource, batch_feature_view

own = BatchSource("own", table="features.subject", timestamp="valid_from")


@batch_feature_view(
    entities=[thing],
    sources=[own],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(own):
    """What is looked at."""
    return f"SELECT * FROM {own}"
