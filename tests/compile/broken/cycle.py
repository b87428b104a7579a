"""Two views that read each other."""

from good import thing

from controlplane import Aggregate, BatchSource, batch_feature_view

a_table = BatchSource("a_table", table="features.a", timestamp="valid_from")
b_table = BatchSource("b_table", table="features.b", timestamp="valid_from")


@batch_feature_view(
    entities=[thing],
    sources=[b_table],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def a(b_table):
    """What is looked at."""
    return f"SELECT * FROM {b_table}"


@batch_feature_view(
    entities=[thing],
    sources=[a_table],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def b(a_table):
    """What is looked at."""
    return f"SELECT * FROM {a_table}"
