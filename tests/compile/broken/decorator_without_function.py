"""Case B17: a decorator that decorates no function."""

from good import events, thing

from controlplane import Aggregate, FeatureService, batch_feature_view

view = batch_feature_view(
    entities=[thing],
    sources=[events],
    features=[Aggregate("count", windows=["1h"])],
    schedule="1h",
    start="2024-01-01",
    sql_file="view.sql",
    owner="team@example.com",
)
scores = FeatureService("scores", features=[view], owner="team@example.com")
