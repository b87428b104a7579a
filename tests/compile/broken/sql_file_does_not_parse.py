"""Case B6: SQL of a file that does not parse, with a byte order mark and line ends of Windows."""

from good import events, thing

from controlplane import Aggregate, batch_feature_view


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    sql_file="sql_file_does_not_parse.sql",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    raise NotImplementedError(events)
