"""Tasks of a run: no such word, no text, and one task together with shards."""

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


@batch_feature_view(**COMMON, tasks="lean")
def a_word(events):
    return f"SELECT * FROM {events}"


@batch_feature_view(**COMMON, tasks=1)
def a_number(events):
    return f"SELECT * FROM {events}"


@batch_feature_view(**COMMON, tasks="view", sync_shards=2)
def shards(events):
    return f"SELECT * FROM {events}"
