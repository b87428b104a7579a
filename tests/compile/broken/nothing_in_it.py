"""A view without entities, sources and features."""

from controlplane import batch_feature_view


@batch_feature_view(
    entities=[],
    sources=[],
    features=[],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject():
    """What is looked at."""
    return "SELECT 1"
