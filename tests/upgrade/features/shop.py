"""Definitions that versions of controlplane deployed: every function over integers and decimals, every kind of view."""

from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Calendar,
    Entity,
    FeatureService,
    RequestSource,
    Series,
    batch_feature_view,
    calculation,
    expect,
)

OWNER = "shop@example.com"
user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
payments = BatchSource(
    "payments",
    table="raw.payments",
    timestamp="paid_at",
    settling_delay="10m",
    expectations=[expect.rows(at_least=0)],
)
people = BatchSource("people", table="raw.people")
totals = BatchSource("totals", table="features.spend", timestamp="valid_from", settling_delay="1h10m")


@batch_feature_view(
    entities=[user],
    sources=[payments],
    schedule="1h",
    start="2024-01-01",
    features=[
        Aggregate("count", windows=["1h", "1d"]),
        Aggregate("sum", "items", windows=["1h", "7d", "lifetime"], where="items > 0"),
        Aggregate("mean", "items", windows=["1d"], offset="-1d"),
        Aggregate("mean", "amount", windows=["1d"]),
        Aggregate("sum", "price", windows=["1d", Series("1h", step="1h", steps=3)]),
        Aggregate("stddev_samp", "items", windows=["1d"]),
        Aggregate("min", "items", windows=["1d"]),
        Aggregate("last_n", "country", windows=["1d"], n=3),
        Aggregate("count_distinct", "country", windows=["1d"]),
        Aggregate("approx_percentile", "amount", windows=["1d"], q=0.5),
        Aggregate("sum", "items", windows=["1d"], by="country"),
        Aggregate("sum", "items", windows=[Calendar("day", "UTC")]),
        Attribute("country", "string"),
    ],
    tie_breaker=["items"],
    expectations=[expect.not_null("user_id")],
    owner=OWNER,
)
def spend(payments):
    """What a user pays."""
    return f"SELECT user_id, paid_at, items, amount, price, country FROM {payments}"


@batch_feature_view(
    entities=[user],
    sources=[payments],
    schedule="1h",
    start="2024-01-01",
    ttl="2h",
    features=[Attribute("last_items", "int64", column="items")],
    owner=OWNER,
)
def latest(payments):
    """The last payment, for two hours."""
    return f"SELECT user_id, paid_at, items FROM {payments} WHERE items IS NOT NULL"


@batch_feature_view(
    entities=[user],
    sources=[people],
    schedule="1d",
    start="2024-01-01",
    features=[Attribute("name", "string")],
    owner=OWNER,
)
def person(people):
    """Who a user is."""
    return f"SELECT user_id, name FROM {people}"


@batch_feature_view(
    entities=[user],
    sources=[totals],
    schedule="1h",
    start="2024-01-02",
    features=[Aggregate("max", "count_1h", windows=["1d"])],
    owner=OWNER,
)
def peaks(totals):
    """The most payments of an hour."""
    return f"SELECT user_id, valid_from, count_1h FROM {totals}"


offer = RequestSource("offer", fields={"price": "float64"})
rate = calculation("rate", "float64", "price / nullif(spend__count_1d, 0)")
basket = FeatureService("basket", features=[spend, latest, person, peaks, rate], request=offer, owner=OWNER)
