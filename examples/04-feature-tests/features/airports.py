"""Three feature views; `test_airports.py` next to this file has their tests."""

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view, expect

OWNER = "flight-data@example.com"

airport = Entity("airport", keys={"origin": "string"}, owner=OWNER)
aircraft = Entity("aircraft", keys={"tailnum": "string"}, owner=OWNER)
departures = BatchSource(
    "departures",
    table="raw.departures",
    timestamp="departed_at",
    settling_delay="30m",
    expectations=[expect.one_of("origin", ["EWR", "JFK", "LGA"])],
)
planes = BatchSource("planes", table="raw.planes")
delays = BatchSource(
    "delays", table="features.airport_delays", timestamp="valid_from", settling_delay="30m"
)


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Aggregate("count", windows=["1h", "24h"]),
        Aggregate("mean", "dep_delay", windows=["1h"]),
        Aggregate("count", windows=["24h"], where="dep_delay > 15", name="late"),
    ],
    owner=OWNER,
)
def airport_delays(departures):
    """How busy and how late an airport is."""
    return f"SELECT origin, departed_at, dep_delay FROM {departures}"


@batch_feature_view(
    entities=[aircraft],
    sources=[departures, planes],
    schedule="1h",
    start="2013-01-01",
    features=[Attribute("origin", "string"), Attribute("seats", "int64")],
    ttl="6h",
    owner=OWNER,
)
def aircraft_last_seen(departures, planes):
    """The airport that the aircraft last left, and its number of seats; null after six hours."""
    return f"""
        SELECT tailnum, departed_at, origin, seats
        FROM {departures} LEFT JOIN {planes} USING (tailnum)
    """


@batch_feature_view(
    entities=[airport],
    sources=[delays],
    schedule="1d",
    start="2013-01-01",
    features=[Aggregate("max", "late_24h", windows=["7d"], name="worst_day")],
    owner=OWNER,
)
def airport_weeks(delays):
    """The largest number of late departures in 24 hours, over the last week."""
    return f"SELECT origin, valid_from, late_24h FROM {delays}"
