"""A small project: an hourly view, one that reads it daily, one of a static table."""

from __future__ import annotations

from controlplane import Aggregate, Attribute, BatchSource, Entity, batch_feature_view, expect

airport = Entity("airport", keys={"origin": "string"}, owner="ops@example.com")
departures = BatchSource(
    "departures", table="raw.departures", timestamp="departed_at", settling_delay="30m"
)
delays = BatchSource(
    "delays", table="features.airport_delays", timestamp="valid_from", settling_delay="30m"
)
airports = BatchSource("airports", table="raw.airports", expectations=[expect.not_null("gates")])


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Aggregate("count", windows=["1h", "1d"]),
        Aggregate(
            "sum", "delay", windows=["2h"], where="delay > 0", description="What \\ it | costs"
        ),
        Attribute("last_tail", "string", column="tail"),
    ],
    expectations=[expect.between("delay", high=46, severity="warning")],
    owner="ops@example.com",
    tags={"tier": "1", "critical": ""},
)
def airport_delays(departures):
    """How late departures are.

    Says \"\"\"so\"\"\" itself.
    """
    return f"SELECT origin, departed_at, delay, tail FROM {departures}"


@batch_feature_view(
    entities=[airport],
    sources=[delays],
    schedule="1d",
    start="2013-01-01",
    features=[Aggregate("max", "count_1d", windows=["1d"])],
    owner="planning",
    online=False,
)
def airport_days(delays):
    return f"SELECT origin, valid_from, count_1d FROM {delays}"


@batch_feature_view(
    entities=[airport],
    sources=[airports],
    schedule="1d",
    start="2013-01-01",
    end="2013-01-03",
    features=[Attribute("gates", "int64")],
    owner="planning",
)
def airport_size(airports):
    return f"SELECT origin, gates FROM {airports}"
