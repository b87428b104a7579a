"""Python functions that don't stand for themselves, or take what the service has not."""

import functools
import math
from decimal import Decimal

from good import events, thing

from controlplane import (
    Aggregate,
    FeatureService,
    RequestSource,
    batch_feature_view,
    realtime_feature,
)

RATE = 2


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


def helper(amount):
    """Beside it."""
    return amount


@realtime_feature("float64")
def fine(amount: float, subject__count_1h) -> Decimal | None:
    """It is right: annotations and a docstring are no part of it."""
    import math as maths

    def inner(x):
        return maths.sqrt(x)

    return inner(amount) if amount > 0 and subject__count_1h else None


@realtime_feature("float64")
def outside(amount):
    total = helper(amount) * RATE
    return math.sqrt(total)


@realtime_feature("money")
def no_type(amount):
    return amount


@realtime_feature("float64")
def unknown(price, later):
    return price + later


@realtime_feature("float64")
def nothing():
    return 1.0


@realtime_feature("float64")
def unsafe(amount):
    import random
    from datetime import datetime

    print(datetime.now())  # noqa: DTZ005, T201
    datetime.fromtimestamp(amount).astimezone()
    return random.random() * hash(amount)


@realtime_feature("float64")
def changes(amount):
    global RATE  # noqa: PLW0603
    RATE = amount
    return amount


@realtime_feature("float64")
@functools.cache
def decorated(amount):
    return amount


@realtime_feature("float64")
def parameters(amount=1.0, *others):
    return amount


@realtime_feature("float64")
def generator(amount):
    yield amount


@realtime_feature("string")
def ends(amount):
    return "$$"


@realtime_feature("float64")
async def later(amount):
    return amount


def made(factor):
    """A function that holds a value."""

    @realtime_feature("float64")
    def closed(amount):
        return amount * factor

    return closed


closed = made(3)
short = realtime_feature("float64")(lambda amount: amount)
service = FeatureService(
    "service",
    features=[
        subject,
        fine,
        outside,
        no_type,
        unknown,
        nothing,
        unsafe,
        changes,
        decorated,
        parameters,
        generator,
        ends,
        later,
        closed,
        short,
    ],
    request=RequestSource("given", fields={"amount": "float64"}),
    owner="team@example.com",
)
