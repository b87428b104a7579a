"""Case B15: a name whose letters are right, but too many."""

from good import events, thing

from controlplane import Aggregate, Attribute, batch_feature_view

LONG = "amount_in_the_currency_of_the_country_of_the_merchant_of_the_card"


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("sum", "amt", windows=["1h"], name=LONG),
        Attribute(LONG, "int64", column="amt"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
