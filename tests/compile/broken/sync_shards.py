"""Shards of a sync: too many, no number, and for a view that has no online values."""

from good import events, thing

from controlplane import Attribute, batch_feature_view

COMMON = {
    "entities": [thing],
    "sources": [events],
    "features": [Attribute("word", "string")],
    "schedule": "1h",
    "start": "2024-01-01",
    "owner": "team@example.com",
}


@batch_feature_view(**COMMON, sync_shards=65)
def too_many(events):
    return f"SELECT * FROM {events}"


@batch_feature_view(**COMMON, sync_shards="8")
def a_text(events):
    return f"SELECT * FROM {events}"


@batch_feature_view(**COMMON, sync_shards=True)
def a_yes(events):
    return f"SELECT * FROM {events}"


@batch_feature_view(**COMMON, sync_shards=2, online=False)
def offline(events):
    return f"SELECT * FROM {events}"
