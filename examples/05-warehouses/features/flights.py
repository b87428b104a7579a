"""Features of an airport and of an aircraft.

The SQL is valid, and means the same, in all three warehouses.
"""

from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Calendar,
    Entity,
    FeatureService,
    batch_feature_view,
    expect,
)

OWNER = "flight-data@example.com"

airport = Entity("airport", keys={"origin": "string"}, owner=OWNER)
aircraft = Entity("aircraft", keys={"tailnum": "string"}, owner=OWNER)
departures = BatchSource(
    "departures",
    table="raw.departures",
    timestamp="departed_at",
    settling_delay="30m",
    expectations=[expect.unique("flight_id"), expect.one_of("origin", ["EWR", "JFK", "LGA"])],
)


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-03-09T05:00:00Z",
    features=[
        Aggregate("count", windows=["1h", "24h", Calendar("day", zone="America/New_York")]),
        Aggregate("count", windows=["24h"], where="dep_delay > 15", name="late"),
        Aggregate("mean", "dep_delay", windows=["3h", "24h"]),
        Aggregate("count_distinct", "tailnum", windows=["24h"]),
        Aggregate("last_n", "dest", windows=["1h"], n=3),
    ],
    tie_breaker=["flight_id"],
    owner=OWNER,
)
def airport_delays(departures):
    """How busy and how late an airport is."""
    return f"SELECT origin, departed_at, flight_id, dep_delay, tailnum, dest FROM {departures}"


@batch_feature_view(
    entities=[aircraft],
    sources=[departures],
    schedule="6h",
    start="2013-03-09T06:00:00Z",
    features=[Attribute("origin", "string"), Attribute("dep_delay", "int64")],
    tie_breaker=["flight_id"],
    owner=OWNER,
)
def aircraft_last_flight(departures):
    """The aircraft's last departure from New York."""
    return f"""
        SELECT tailnum, departed_at, flight_id, origin, CAST(dep_delay AS BIGINT) AS dep_delay
        FROM {departures}
    """


delays = FeatureService("delays", features=[airport_delays, aircraft_last_flight], owner=OWNER)
