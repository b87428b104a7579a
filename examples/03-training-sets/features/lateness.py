"""The features of a model that predicts a late arrival two hours before the departure."""

from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Entity,
    FeatureService,
    batch_feature_view,
    calculation,
)

OWNER = "flight-data@example.com"

airport = Entity("airport", keys={"origin": "string"}, owner=OWNER)
aircraft = Entity("aircraft", keys={"tailnum": "string"}, owner=OWNER)
departures = BatchSource(
    "departures", table="raw.departures", timestamp="departed_at", settling_delay="30m"
)


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-03-04",
    features=[
        Aggregate("count", windows=["3h"]),
        Aggregate("mean", "dep_delay", windows=["3h", "24h"]),
    ],
    owner=OWNER,
)
def airport_delays(departures):
    """How busy and how late an airport is."""
    return f"SELECT origin, departed_at, dep_delay FROM {departures}"


@batch_feature_view(
    entities=[aircraft],
    sources=[departures],
    schedule="1h",
    start="2013-03-04",
    features=[Attribute("dest", "string"), Attribute("dep_delay", "int64")],
    ttl="2d",
    owner=OWNER,
)
def aircraft_last_flight(departures):
    """The aircraft's last departure from New York; null after two days."""
    return f"""
        SELECT tailnum, departed_at, dest, CAST(dep_delay AS BIGINT) AS dep_delay
        FROM {departures}
    """


worsening = calculation(
    "worsening",
    "float64",
    "airport_delays__dep_delay_mean_3h - airport_delays__dep_delay_mean_24h",
    description="By how many minutes the last three hours are worse than the day.",
)

lateness = FeatureService(
    "lateness", features=[airport_delays, aircraft_last_flight, worsening], owner=OWNER
)
