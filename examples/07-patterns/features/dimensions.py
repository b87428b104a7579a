"""Rows that are valid from one instant to another: both the start and the end are events."""

from controlplane import Attribute, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "shop@example.com"

product = Entity("product", keys={"product": "string"}, owner=OWNER)
begins = BatchSource("begins", table="raw.prices", timestamp="valid_from", settling_delay="10m")
ends = BatchSource("ends", table="raw.prices", timestamp="valid_to", settling_delay="10m")


@batch_feature_view(
    entities=[product],
    sources=[begins, ends],
    schedule="1h",
    start="2013-03-09",
    features=[Attribute("price", "int64")],
    tie_breaker=["change"],
    online=False,
    owner=OWNER,
)
def product_price(begins, ends):
    """The price of a product; null while the product is not sold."""
    return f"""
        SELECT product, valid_from, price, 1 AS change FROM {begins}
        UNION ALL
        SELECT product, valid_to, CAST(NULL AS BIGINT), 0 FROM {ends}
    """


pricing = FeatureService("pricing", features=[product_price], owner=OWNER)
