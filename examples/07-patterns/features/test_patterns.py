"""Test each pattern on rows that you can add up by hand: the usual attempt, and what works."""

from datetime import datetime

import pytest
from arrivals import user_clicks
from clocks import store_openings, store_visits
from dimensions import product, product_price
from joins import OWNER, user, user_spending

from controlplane import Aggregate, Attribute, BatchSource, batch_feature_view
from controlplane.errors import PlaneError
from controlplane.testing import given

ORDERS = [
    {"order_id": 1, "user_id": 7, "ordered_at": "2013-03-10 00:10"},
    {"order_id": 2, "user_id": 7, "ordered_at": "2013-03-10 00:58"},
]
PAYMENTS = [
    {"order_id": 1, "paid_at": "2013-03-10 00:12", "amount": 10},
    {"order_id": 2, "paid_at": "2013-03-10 09:02", "amount": 20},
]


def test_a_payment_counts_when_it_is_paid():
    with given(user_spending, payments=PAYMENTS, orders=ORDERS) as features:
        features.expect(
            [
                {"user_id": 7, "at": "2013-03-10 01:09", "amount_sum_24h": None},
                {"user_id": 7, "at": "2013-03-10 01:10", "amount_sum_24h": 10},
                {"user_id": 7, "at": "2013-03-10 10:10", "amount_sum_24h": 30},
            ]
        )


def test_an_order_is_found_as_far_back_as_the_lookback():
    long_ago = [{"order_id": 1, "user_id": 7, "ordered_at": "2013-03-03 09:00"}]
    longer_ago = [{"order_id": 1, "user_id": 7, "ordered_at": "2013-03-03 08:59"}]
    paid = [{"order_id": 1, "paid_at": "2013-03-10 09:30", "amount": 10}]
    with given(user_spending, payments=paid, orders=long_ago) as features:
        assert features.at("2013-03-10 10:10", user_id=7)["amount_sum_24h"] == 10
    with given(user_spending, payments=paid, orders=longer_ago) as features:
        assert features.at("2013-03-10 10:10", user_id=7)["amount_sum_24h"] is None


def test_an_order_alone_does_not_find_what_is_paid_later():
    orders = BatchSource("orders", table="raw.orders", timestamp="ordered_at")
    payments = BatchSource("payments", table="raw.payments", timestamp="paid_at")

    @batch_feature_view(
        entities=[user],
        sources=[orders, payments],
        schedule="1h",
        start="2013-03-09",
        features=[Aggregate("sum", "amount", windows=["24h"])],
        owner=OWNER,
    )
    def user_spending(orders, payments):
        return f"""
            SELECT o.user_id, o.ordered_at, p.amount
            FROM {orders} AS o LEFT JOIN {payments} AS p ON p.order_id = o.order_id
        """

    with given(user_spending, orders=ORDERS, payments=PAYMENTS) as features:
        assert features.at("2013-03-10 12:00", user_id=7)["amount_sum_24h"] == 10


def price(product, price, valid_from, valid_to):
    return {"product": product, "price": price, "valid_from": valid_from, "valid_to": valid_to}


PRICES = [
    price("book", 12, "2013-03-09 00:00", "2013-03-10 12:00"),
    price("book", 15, "2013-03-10 12:00", None),
    price("lamp", 80, "2013-03-09 06:00", "2013-03-11 18:00"),
]


def test_a_price_that_ends_is_null():
    with given(product_price, begins=PRICES) as features:
        features.expect(
            [
                {"product": "lamp", "at": "2013-03-09 07:09", "price": None},
                {"product": "lamp", "at": "2013-03-09 07:10", "price": 80},
                {"product": "lamp", "at": "2013-03-11 19:09", "price": 80},
                {"product": "lamp", "at": "2013-03-11 19:10", "price": None},
            ]
        )


def test_at_the_instant_of_both_the_new_price_counts():
    with given(product_price, begins=PRICES) as features:
        features.expect(
            [
                {"product": "book", "at": "2013-03-10 13:09", "price": 12},
                {"product": "book", "at": "2013-03-10 13:10", "price": 15},
            ]
        )


def test_an_end_is_no_event_of_a_source_that_is_timed_by_its_begin():
    prices = BatchSource("prices", table="raw.prices", timestamp="valid_from")

    @batch_feature_view(
        entities=[product],
        sources=[prices],
        schedule="1h",
        start="2013-03-09",
        features=[Attribute("price", "int64")],
        owner=OWNER,
    )
    def product_price(prices):
        return f"""
            SELECT product, valid_from, price FROM {prices}
            UNION ALL
            SELECT product, valid_to, CAST(NULL AS BIGINT) FROM {prices}
        """

    with pytest.raises(PlaneError, match="'valid_from' is not provably the time of a source"):
        given(product_price, prices=PRICES, columns={"prices": {"valid_to": "timestamp"}})


def visit(store, zone, local_ts):
    return {"store": store, "zone": zone, "local_ts": local_ts}


def in_new_york(*times):
    return [visit("soho", "America/New_York", time) for time in times]


def utc_times(visits):
    with given(store_visits, visits=visits) as features:
        return [row["source_time"].strftime("%H:%M") for row in features.rows(store="soho")]


def test_visits_by_the_clock_of_each_store():
    tokyo = visit("ginza", "Asia/Tokyo", "2013-03-10 10:10")
    visits = [tokyo, *in_new_york("2013-03-09 20:10")]
    hours = [("2013-03-10 02:09", 0), ("2013-03-10 02:10", 1), ("2013-03-10 03:10", 0)]
    with given(store_visits, visits=visits) as features:
        features.expect(
            [
                {"store": store, "at": at, "count_1h": count}
                for store in ("ginza", "soho")  # both are 01:10 in UTC
                for at, count in hours
            ]
        )


def test_a_day_of_23_hours():
    # At 02:00 New York's clocks were set to 03:00, so these visits are half an hour apart.
    assert utc_times(in_new_york("2013-03-10 01:45", "2013-03-10 03:15")) == ["06:45", "07:15"]


def test_a_day_of_25_hours():
    # At 02:00 clocks were set back to 01:00, so 01:15 happened twice; DuckDB takes the later.
    visits = in_new_york("2013-11-03 00:45", "2013-11-03 01:15", "2013-11-03 02:15")
    assert utc_times(visits) == ["04:45", "06:15", "07:15"]


def test_seconds_since_1970():
    opened = int(datetime.fromisoformat("2013-03-10T01:05Z").timestamp())
    with given(store_openings, openings=[{"store": "ginza", "opened_at": opened}]) as features:
        assert features.at("2013-03-10 02:00", store="ginza") == {"count_1h": 1}


def test_a_clock_is_not_converted_in_the_sql():
    visits = BatchSource("visits", table="raw.visits", timestamp="local_ts")

    @batch_feature_view(
        entities=[user],
        sources=[visits],
        schedule="1h",
        start="2013-03-09",
        timestamp="visited_at",
        features=[Aggregate("count", windows=["24h"])],
        owner=OWNER,
    )
    def user_visits(visits):
        return f"SELECT user_id, local_ts AT TIME ZONE 'Asia/Tokyo' AS visited_at FROM {visits}"

    with pytest.raises(PlaneError, match="'visited_at' is not provably the time of a source"):
        given(user_visits, visits=[{"user_id": 7, "local_ts": "2013-03-10 10:10"}])


def click(happened_at, loaded_at):
    at = datetime.fromisoformat(happened_at)
    return {"user_id": 7, "happened_at": at, "loaded_at": loaded_at}


CLICKS = [
    click("2013-03-10 01:10", "2013-03-10 01:20"),
    click("2013-03-10 01:50", "2013-03-10 07:50"),
    click("2013-03-10 02:00", "2013-03-10 02:00"),
]


def test_a_click_counts_when_it_happened_and_shows_when_it_is_there():
    with given(user_clicks, clicks=CLICKS) as features:
        features.expect(
            [
                {"user_id": 7, "at": "2013-03-10 07:59", "count_24h": 0},
                {"user_id": 7, "at": "2013-03-10 08:00", "count_24h": 2},
                {"user_id": 7, "at": "2013-03-10 09:00", "count_24h": 3},
            ]
        )


def test_a_click_that_comes_later_than_the_bounds_is_left_out():
    late = click("2013-03-10 01:30", "2013-03-10 07:31")
    with given(user_clicks, clicks=[*CLICKS, late]) as features:
        assert features.at("2013-03-10 09:00", user_id=7)["count_24h"] == 3


@pytest.mark.parametrize(
    ("settling_delay", "bounds", "complaint"),
    [
        ("6h", None, "'happened_at' is not provably the time of a source"),
        ("10m", ("-6h", "0s"), "up to 6h after their event time, and its settling delay is 10m"),
    ],
)
def test_bounds_must_be_declared_and_waited_for(settling_delay, bounds, complaint):
    clicks = BatchSource(
        "clicks",
        table="raw.clicks",
        timestamp="loaded_at",
        settling_delay=settling_delay,
    )

    @batch_feature_view(
        entities=[user],
        sources=[clicks],
        schedule="1h",
        start="2013-03-09",
        timestamp="happened_at",
        event_time_bounds=bounds,
        features=[Aggregate("count", windows=["24h"])],
        owner=OWNER,
    )
    def user_clicks(clicks):
        return f"SELECT user_id, happened_at, loaded_at FROM {clicks}"

    with pytest.raises(PlaneError, match=complaint):
        given(user_clicks, clicks=CLICKS)
