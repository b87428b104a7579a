"""Case B11: arguments of a wrong type, in definitions of every kind.

What is built on them is not told.
"""

from datetime import timedelta

from good import events, thing

from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Calendar,
    Entity,
    FeatureService,
    RequestSource,
    batch_feature_view,
    calculation,
    expect,
)

by_list = Entity("by_list", keys=["k"], owner="team@example.com")
of_number = Entity("of_number", keys={"k": "string"}, owner=3)
typed = Entity("typed", keys={"k": str}, owner="team@example.com")
nameless = Entity(7, keys={"k": "string"}, owner="team@example.com")
tabled = BatchSource("tabled", table=events, timestamp="ts")
delayed = BatchSource(
    "delayed", table="raw.events", timestamp="ts", settling_delay=timedelta(hours=1)
)
expected = BatchSource("expected", table="raw.events", expectations=expect.not_null("k"))


def declare(**changed):
    """A view with other arguments."""
    given = {
        "entities": [thing],
        "sources": [events],
        "features": [Aggregate("count", windows=["1h"])],
        "schedule": "1h",
        "start": "2024-01-01",
        "owner": "team@example.com",
    }
    return batch_feature_view(**{**given, **changed})


@declare(tags=["retail"])
def tagged(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(entities=thing, features="amt", sources=events, online="yes")
def lonely(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(
    features=[
        Aggregate("sum", "amt", windows="1h"),
        Attribute("word", str),
        Aggregate("count", windows=[7]),
    ]
)
def windowed(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(
    features=[
        Aggregate("count", windows=[Calendar("day", count="2")]),
        Aggregate("sum", events, windows=["1h"]),
    ]
)
def calendar(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(
    expectations=[
        expect.one_of("word", "red"),
        expect.unique(["k", "ts"]),
        expect.not_null("k", may_fail="1%"),
    ]
)
def checked(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(entities=["thing"], tie_breaker="k", sql_file=["a.sql"], lateness=None, tags={"team": 3})
def others(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


@declare(entities=[by_list], sources=[delayed])
def built_on_others(delayed):
    """It is right, and what it reads is not."""
    return f"SELECT * FROM {delayed}"


basket = RequestSource("basket", fields=["amount"], nullable="amount")
doubled = calculation("doubled", "int64", 2)
described = FeatureService(
    "described", features=[built_on_others], owner="team@example.com", description=1
)
single = FeatureService("single", features=tagged, owner="team@example.com")
asking = FeatureService(
    "asking", features=[built_on_others, doubled], request=basket, owner="team@example.com"
)
some = FeatureService("some", features=[tagged.only(["count_1h"])], owner=["a", "b"])
