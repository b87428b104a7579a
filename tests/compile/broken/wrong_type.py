"""A column of another type than declared; a sum over text; a type that has no exact form."""

from good import events, thing

from controlplane import Aggregate, Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Attribute("amt", "string"),
        Aggregate("sum", "word", windows=["1h"]),
        Attribute("huge", "int64"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
