"""Features of an aircraft: its last flight, and its entry in the registry."""

from airports import OWNER, departures

from controlplane import Attribute, BatchSource, Entity, batch_feature_view

aircraft = Entity(
    "aircraft",
    keys={"tailnum": "string"},
    owner=OWNER,
    description="An aircraft, by its tail number.",
)

# The registry has no event time: it is read as a whole.
planes = BatchSource("planes", table="raw.planes")


@batch_feature_view(
    entities=[aircraft],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Attribute("origin", "string"),
        Attribute("dest", "string"),
        Attribute("dep_delay", "float64"),
        Attribute("departed_at", "timestamp"),
    ],
    tie_breaker=["flight_id"],
    owner=OWNER,
)
def aircraft_last_flight(departures):
    """The aircraft's last departure from New York."""
    return f"SELECT tailnum, departed_at, flight_id, origin, dest, dep_delay FROM {departures}"


@batch_feature_view(
    entities=[aircraft],
    sources=[planes],
    schedule="1d",
    start="2013-01-01",
    features=[
        Attribute("built", "int64"),
        Attribute("manufacturer", "string"),
        Attribute("seats", "int64"),
    ],
    owner=OWNER,
)
def aircraft_registry(planes):
    """The aircraft's entry in the registry."""
    return f"""
        SELECT tailnum, CAST(year AS BIGINT) AS built, manufacturer, CAST(seats AS BIGINT) AS seats
        FROM {planes}
    """
