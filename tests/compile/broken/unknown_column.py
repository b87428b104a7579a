"""An aggregate and a row feature over columns that the SQL does not return."""

from good import events, thing

from controlplane import Aggregate, Attribute, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("sum", "nope", windows=["1h"]), Attribute("neither", "string")],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"
