"""One source, two views: windows that slide, and windows that follow the clocks of New York."""

from controlplane import (
    Aggregate,
    BatchSource,
    Calendar,
    Entity,
    Series,
    batch_feature_view,
    expect,
)

OWNER = "flight-data@example.com"
NEW_YORK = "America/New_York"

airport = Entity("airport", keys={"origin": "string"}, owner=OWNER)
departures = BatchSource(
    "departures",
    table="raw.departures",
    timestamp="departed_at",
    settling_delay="30m",
    expectations=[
        expect.not_null("flight_id"),
        expect.unique("flight_id"),
        expect.one_of("origin", ["EWR", "JFK", "LGA"]),
        expect.between("dep_delay", high=480, severity="warning"),
    ],
)


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    aggregation_interval="15m",
    start="2013-03-04T00:00:00Z",
    features=[
        Aggregate("count", windows=["15m", "1h", "24h"]),
        Aggregate("count", windows=["24h"], where="dep_delay > 15", name="late"),
        Aggregate("count", windows=["24h"], offset="-24h"),
        Aggregate("mean", "dep_delay", windows=["1h", "24h"]),
        Aggregate("percentile", "dep_delay", windows=["24h"], q=0.9),
        Aggregate("count_distinct", "tailnum", windows=["24h"]),
        Aggregate("last_n", "dest", windows=["1h"], n=3),
    ],
    owner=OWNER,
)
def airport_sliding(departures):
    """How busy and how late an airport is."""
    return f"SELECT origin, departed_at, dep_delay, tailnum, dest FROM {departures}"


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-03-04T05:00:00Z",
    features=[
        Aggregate(
            "count", windows=[Calendar("day", zone=NEW_YORK), Calendar("day", zone=NEW_YORK, ago=1)]
        ),
        Aggregate("count", windows=[Series("24h", steps=3), "lifetime"]),
        Aggregate("mean", "dep_delay", windows=["24h"], by="carrier"),
    ],
    owner=OWNER,
)
def airport_days(departures):
    """Departures by calendar day of New York, and delays by airline."""
    return f"SELECT origin, departed_at, dep_delay, carrier FROM {departures}"
