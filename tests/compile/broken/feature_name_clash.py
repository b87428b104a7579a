"""Two features of one name, one named like a key, one like a column of ours, one that is no
name."""

from good import events, thing

from controlplane import Aggregate, Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Attribute("word", "string"),
        Attribute("Word", "string", column="word"),
        Attribute("k", "string"),
        Attribute("valid_to", "string", column="word"),
        Attribute("two words", "string", column="word"),
        Aggregate("count", windows=["1h", "1h"]),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
