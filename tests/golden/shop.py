"""A small project whose rendered SQL lies beside it, to be read and compared."""

from controlplane import Aggregate, Attribute, BatchSource, Entity, FeatureService, batch_feature_view, expect

customer = Entity("customer", keys={"k": "string"}, owner="shop@example.com", description="Who buys.")
events = BatchSource(
    "events",
    table="raw.events",
    timestamp="ts",
    settling_delay="30m",
    expectations=[expect.rows(at_least=1, severity="warning"), expect.one_of("word", ["yes", "no"], may_fail=0.01)],
)


@batch_feature_view(
    entities=[customer],
    sources=[events],
    features=[
        Aggregate("count", windows=["1h", "1d"]),
        Aggregate("sum", "cost", windows=["1d"], where="amt > 0"),
        Aggregate("mean", "price", windows=["1d"], offset="-1d"),
        Attribute("last_word", "string", column="word", description="What was said last."),
    ],
    schedule="1h",
    aggregation_interval="30m",
    start="2024-01-01",
    tie_breaker=["amt"],
    expectations=[
        expect.not_null("k"),
        expect.between("price", 0, 1000),
        expect.unique("k", "ts", severity="warning"),
        expect.that("amt * price < 1e9", name="no purchase is huge"),
    ],
    owner="shop@example.com",
    tags={"domain": "shop"},
)
def purchases(events):
    """What a customer bought lately."""
    return f"SELECT * FROM {events} -- all of them"


service = FeatureService("basket", features=[purchases.only("count_1h", "last_word")], owner="shop@example.com")
