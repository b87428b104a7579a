"""Features of an airport and of a carrier: delays, and the weather at the airport."""

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view

OWNER = "flight-data@example.com"

airport = Entity(
    "airport",
    keys={"origin": "string"},
    owner=OWNER,
    description="An airport that flights leave from.",
)
carrier = Entity(
    "carrier",
    keys={"carrier": "string"},
    owner=OWNER,
    description="An airline, by its two-letter code.",
)

# One row for each departed flight. A row arrives at most half an hour after the departure.
departures = BatchSource(
    "departures", table="raw.departures", timestamp="departed_at", settling_delay="30m"
)
weather = BatchSource("weather", table="raw.weather", timestamp="observed_at", settling_delay="15m")


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Aggregate("count", windows=["1h", "3h", "24h"]),
        Aggregate("mean", "dep_delay", windows=["1h", "3h", "24h"]),
        Aggregate("max", "dep_delay", windows=["3h"]),
        Aggregate(
            "count", "dep_delay", windows=["3h"], where="dep_delay > 15", name="late_departures"
        ),
    ],
    owner=OWNER,
    tags={"tier": "1"},
)
def airport_delays(departures):
    """How busy and how late an airport has been."""
    return f"SELECT origin, departed_at, dep_delay FROM {departures}"


@batch_feature_view(
    entities=[carrier],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Aggregate("count", windows=["24h"]),
        Aggregate("mean", "dep_delay", windows=["6h", "24h", "7d"]),
        Aggregate("min", "dep_delay", windows=["24h"]),
        Aggregate("sum", "distance", windows=["24h"]),
    ],
    owner=OWNER,
)
def carrier_delays(departures):
    """How late a carrier has been at the three airports."""
    return f"SELECT carrier, departed_at, dep_delay, distance FROM {departures}"


@batch_feature_view(
    entities=[airport],
    sources=[weather],
    schedule="1h",
    start="2013-01-01",
    ttl="6h",
    features=[
        Attribute("temp", "float64", description="Degrees Fahrenheit."),
        Attribute("wind_speed", "float64", description="Miles per hour."),
        Attribute("precip", "float64", description="Inches in the hour."),
        Attribute("visib", "float64", description="Visibility in miles."),
    ],
    owner=OWNER,
)
def airport_weather(weather):
    """The last weather report; null after six hours."""
    return f"SELECT origin, observed_at, temp, wind_speed, precip, visib FROM {weather}"
