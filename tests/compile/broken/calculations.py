"""Calculations that are no names, no SQL, of another type, or need what a row of the service has
not."""

from good import events, thing

from controlplane import Aggregate, FeatureService, batch_feature_view, calculation


@batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"]), Aggregate("sum", "price", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    owner="team@example.com",
)
def subject(events):
    """What is looked at."""
    return f"SELECT * FROM {events}"


service = FeatureService(
    "service",
    features=[
        subject.only("count_1h"),
        calculation("not__a_name", "float64", "subject__count_1h / 2"),
        calculation("other_type", "int64", "subject__count_1h / 2"),
        calculation("no_type", "number", "subject__count_1h"),
        calculation("unknown", "float64", "subject__price_sum_1h / nope + later"),
        calculation("later", "float64", "other_type / 2"),
        calculation("later", "float64", "other_type / 2"),
        calculation("no_sql", "float64", "subject__count_1h +"),
        calculation("nothing", "float64", " "),
        calculation("two", "float64", "1.0) AS a, (2.0"),
        calculation("query", "bool", "subject__count_1h IN (SELECT 1)"),
        calculation("aggregate", "int64", "sum(subject__count_1h)"),
        calculation("count_of_rows", "int64", "count(*)"),
        calculation("window", "int64", "row_number() OVER (ORDER BY subject__count_1h)"),
        calculation("rows", "int64", "unnest([subject__count_1h])"),
        calculation(
            "clock",
            "bool",
            "now() > TIMESTAMP '2024-01-01' AND random() < 0.5 AND current_date IS NULL",
        ),
        calculation("refused", "float64", "no_such_function(subject__count_1h)"),
        calculation("star", "int64", "columns(*)"),
    ],
    owner="team@example.com",
)
