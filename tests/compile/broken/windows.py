"""Windows that no calendar, no series and no second key has."""

from good import events, thing

from controlplane import Aggregate, Calendar, Series, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("sum", "price", windows=[Calendar("month", zone="Europe/Atlantis")]),
        Aggregate("sum", "price", windows=[Calendar("fortnight")]),
        Aggregate("sum", "price", windows=[Calendar("day", count=3)]),
        Aggregate("sum", "price", windows=[Calendar("day", zone="Asia/Kolkata")]),
        Aggregate("sum", "price", windows=[Calendar("day", ago=1)], offset="-1h"),
        Aggregate("sum", "price", windows=[Series("90m", 3)]),
        Aggregate("sum", "price", windows=[Series("1h", 1)]),
        Aggregate("last_n", "price", windows=[Series("1h", 3)], n=2),
        Aggregate("sum", "price", windows=[Series("1h", 3)], by="word"),
        Aggregate("sum", "price", windows=["lifetime"], by="nothing"),
        Aggregate("count", windows=["1h"], by="price"),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
