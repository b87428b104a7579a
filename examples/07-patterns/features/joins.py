"""Events that match late: the view reads payments and looks up the order of each."""

from controlplane import Aggregate, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "shop@example.com"

user = Entity("user", keys={"user_id": "int64"}, owner=OWNER)
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at", settling_delay="10m")
orders = BatchSource(
    "orders",
    table="raw.orders",
    timestamp="ordered_at",
    lookback="7d",
    settling_delay="10m",
)


@batch_feature_view(
    entities=[user],
    sources=[payments, orders],
    schedule="1h",
    start="2013-03-09",
    features=[Aggregate("sum", "amount", windows=["24h"])],
    online=False,
    owner=OWNER,
)
def user_spending(payments, orders):
    """What a user has paid, at the times of the payments."""
    return f"""
        SELECT o.user_id, p.paid_at, p.amount
        FROM {payments} AS p JOIN {orders} AS o ON o.order_id = p.order_id
    """


spending = FeatureService("spending", features=[user_spending], owner=OWNER)
