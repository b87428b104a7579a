"""Features for a traveller's app that asks, two hours before a flight, how late it will arrive."""

from controlplane import (
    Aggregate,
    BatchSource,
    Entity,
    FeatureService,
    RequestSource,
    batch_feature_view,
    calculation,
    realtime_feature,
)

OWNER = "flight-data@example.com"

airport = Entity("airport", keys={"origin": "string"}, owner=OWNER)
departures = BatchSource(
    "departures", table="raw.departures", timestamp="departed_at", settling_delay="30m"
)


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-03-04",
    features=[Aggregate("mean", "dep_delay", windows=["3h", "24h"])],
    owner=OWNER,
)
def airport_delays(departures):
    """How late an airport is."""
    return f"SELECT origin, departed_at, dep_delay FROM {departures}"


flight = RequestSource(
    "flight",
    fields={"distance": "int64", "leaves_at": "timestamp", "carrier": "string"},
    nullable=["carrier"],
    description="The flight that the traveller asks about.",
)

worsening = calculation(
    "worsening",
    "float64",
    "airport_delays__dep_delay_mean_3h - airport_delays__dep_delay_mean_24h",
    description="By how many minutes the last three hours are worse than the day.",
)


@realtime_feature("float64")
def expected_delay(airport_delays__dep_delay_mean_3h, worsening, distance, leaves_at):
    """Minutes: the airport's delay and a part of its trend, more in the evening, and less for long
    flights, which make up time in the air."""
    from datetime import timedelta, timezone

    if airport_delays__dep_delay_mean_3h is None:
        return None
    # New York's standard time, which applies in the first days of March.
    local = leaves_at.astimezone(timezone(timedelta(hours=-5)))
    evening = 5.0 if local.hour >= 17 else 0.0
    expected = airport_delays__dep_delay_mean_3h + 0.2 * (worsening or 0.0) + evening
    return expected - min(distance / 200, 10.0)


advice = calculation(
    "advice",
    "string",
    "CASE WHEN expected_delay > 30 THEN 'take your time'"
    " WHEN carrier IS NULL THEN 'ask your airline' ELSE 'hurry' END",
    description="What the app shows.",
)

trip = FeatureService(
    "trip",
    features=[airport_delays, worsening, expected_delay, advice],
    request=flight,
    owner=OWNER,
    description="What is known of a flight two hours before it leaves.",
)
