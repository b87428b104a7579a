"""Times other than UTC timestamps: the local clock of each store, and seconds since 1970."""

from controlplane import Aggregate, BatchSource, Entity, FeatureService, batch_feature_view

OWNER = "shop@example.com"

store = Entity("store", keys={"store": "string"}, owner=OWNER)
visits = BatchSource(
    "visits",
    table="raw.visits",
    timestamp="local_ts AT TIME ZONE zone",
    prune_by="local_ts",
    settling_delay="10m",
)
openings = BatchSource(
    "openings",
    table="raw.openings",
    timestamp="to_timestamp(opened_at)",
    prune_by="opened_at",
)


@batch_feature_view(
    entities=[store],
    sources=[visits],
    schedule="1h",
    start="2013-03-09",
    features=[Aggregate("count", windows=["1h", "24h"])],
    online=False,
    owner=OWNER,
)
def store_visits(visits):
    """How many people visited a store, counted by the time in UTC."""
    return f"SELECT store, source_time FROM {visits}"


@batch_feature_view(
    entities=[store],
    sources=[openings],
    schedule="1h",
    start="2013-03-09",
    features=[Aggregate("count", windows=["1h"])],
    online=False,
    owner=OWNER,
)
def store_openings(openings):
    """How often the door opened."""
    return f"SELECT store, source_time FROM {openings}"


footfall = FeatureService("footfall", features=[store_visits, store_openings], owner=OWNER)
