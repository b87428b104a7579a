"""A feature view's own table is a source: what is expected of it belongs to the view."""

from good import events, thing

from controlplane import Attribute, BatchSource, batch_feature_view, expect


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Attribute("amt", "int64")],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def first(events):
    """What another view reads."""
    return f"SELECT k, ts, amt FROM {events}"


door = BatchSource(
    "door", table="features.first", timestamp="valid_from", expectations=[expect.not_null("amt")]
)


@batch_feature_view(
    entities=[thing],
    sources=[door],
    features=[Attribute("amt", "int64")],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def second(door):
    """What reads it."""
    return f"SELECT k, valid_from, amt FROM {door}"
