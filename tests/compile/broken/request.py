"""Requests whose fields are no names, no types, keys of a view, or of another kind altogether."""

from good import events, thing

from controlplane import Aggregate, FeatureService, RequestSource, batch_feature_view, calculation


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
    return f"SELECT * FROM {events}"


given = RequestSource(
    "given-now",
    fields={
        "amount": "money",
        "k": "string",
        "two__names": "int64",
        "valid_from": "date",
        "A": "bool",
        "a": "bool",
    },
    nullable=["price"],
)
service = FeatureService(
    "service",
    features=[
        subject,
        calculation("a", "int64", "subject__count_1h"),
        calculation("b", "int64", "price"),
    ],
    request=given,
    owner="team@example.com",
)
empty = FeatureService(
    "empty", features=[subject], request=RequestSource("none", fields={}), owner="team@example.com"
)
other = FeatureService(
    "other", features=[subject], request={"amount": "float64"}, owner="team@example.com"
)
