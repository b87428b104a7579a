"""Parameters that a function lacks, does not take, or that are out of range, and a column that it
does not take."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[
        Aggregate("last_n", "amt", windows=["1h"]),
        Aggregate("percentile", "amt", windows=["1h"], q=95),
        Aggregate("sum", "amt", windows=["1h"], n=3),
        Aggregate("approx_count_distinct", "price", windows=["1h"]),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
