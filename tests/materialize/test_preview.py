"""What the warehouse says of new views before a deploy, and what a plan tells of their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.duckdb.warehouse import DuckDBWarehouse, connect
from connectors.snowflake.signin import connect as connect_snowflake
from controlplane import Aggregate, BatchFeatureView, BatchSource, Entity, batch_feature_view
from controlplane.base.ports import Statement, Warehouse
from controlplane.base.types import Interval
from controlplane.control.ledger import Entry
from controlplane.deploy import preview
from controlplane.errors import PermanentError, Problems
from controlplane.manifest import stored as manifests
from controlplane.plan.forecast import Cost
from controlplane.plan.plan import make_plan
from tests.endpoints.snowflake import SnowflakeEndpoint
from tests.engine.rig import compiled

NOW = datetime(2024, 1, 4, 6, tzinfo=UTC)
DAY = timedelta(days=1)
user = Entity("user", keys={"user_id": "int64"}, owner="team")


def view(name: str, table: str, schedule: str = "1d") -> BatchFeatureView:
    """A view over a table of its own."""

    def count(payments):
        return f"SELECT * FROM {payments}"

    count.__name__ = name
    source = BatchSource("payments", table=table, timestamp="paid_at")
    features = [Aggregate("count", windows=[schedule])]
    return batch_feature_view(
        entities=[user],
        sources=[source],
        schedule=schedule,
        start="2024-01-01",
        features=features,
        owner="team",
    )(count)


@pytest.fixture
def warehouse() -> Iterator[DuckDBWarehouse]:
    warehouse = connect(path=":memory:")
    rows = "SELECT i::BIGINT AS user_id, TIMESTAMP '2024-01-03' + to_minutes(i) AS paid_at FROM range(1000) AS n(i)"
    made = ("CREATE SCHEMA raw", f"CREATE TABLE raw.payments AS {rows}")
    warehouse.execute([Statement("prepare", sql) for sql in made])
    yield warehouse
    warehouse.close()


def test_what_would_be_staged_is_explained_for_new_views_alone(warehouse):
    manifest = compiled([view("spend", "raw.payments")], warehouse)
    plan, release = make_plan(manifest, None, lambda *_: (), NOW)
    assert preview.explain(plan, manifest, release, warehouse, NOW) == plan
    unchanged, release = make_plan(
        manifest, (1, manifests.to_json(manifest), release.digest), lambda *_: (), NOW
    )
    warehouse.execute([Statement("lose", "DROP TABLE raw.payments")])
    assert preview.explain(unchanged, manifest, release, warehouse, NOW) == unchanged
    with pytest.raises(Problems) as raised:
        preview.explain(plan, manifest, release, warehouse, NOW)
    [problem] = raised.value.problems
    assert problem.message.startswith(
        "feature view 'spend': the warehouse refuses the SQL that computes a run's rows: Table with"
    )
    assert problem.where == manifest.views[0].location
    assert problem.where is not None
    assert problem.where.line > 1


def entry(day: int, days: int, rows: int) -> Entry:
    """A publication of some days of January."""
    start = datetime(2024, 1, day, tzinfo=UTC)
    return Entry(Interval(start, start + days * DAY), "run", day, start, rows, 0)


def test_rows_of_earlier_runs_are_told_for_each_interval(warehouse):
    manifest = compiled([view("spend", "raw.payments")], warehouse)
    plan, _ = make_plan(manifest, None, lambda *_: (), NOW)
    name, version = "features.spend", manifest.views[0].fingerprint
    old = {(name, "earlier"): [entry(1, 2, 90)], ("features.others", version): [entry(1, 1, 7)]}
    [forecast] = preview.from_runs(plan, manifest, old).forecasts
    assert forecast.costs == (Cost(45, 45, "rows", "earlier runs"),)
    new = {(name, version): [entry(1, 2, 20), entry(3, 1, 31)]}
    [forecast] = preview.from_runs(plan, manifest, old | new).forecasts
    assert forecast.costs == (Cost(10, 31, "rows", "earlier runs"),)
    assert preview.from_runs(plan, manifest, {}) == plan


class Misreading:
    """A warehouse that is asked for a column of the tiles which is not there."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """See `Warehouse.describe_all`."""
        return self._warehouse.describe_all(
            [query.replace("t.tile_start <=", "t.tile_since <=") for query in queries]
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)


def test_what_a_warehouse_may_not_run_behind_the_stage_is_warned_of_once():
    with SnowflakeEndpoint() as endpoint:
        warehouse = connect_snowflake(**endpoint.options())
        columns = "user_id NUMBER(19,0), paid_at TIMESTAMP_NTZ(6)"
        made = ("CREATE SCHEMA raw", f"CREATE TABLE raw.payments ({columns})")
        warehouse.execute([Statement("prepare", sql) for sql in made])
        manifest = compiled([view("spend", "raw.payments")], warehouse)
        plan, release = make_plan(manifest, None, lambda *_: (), NOW)
        assert preview.explain(plan, manifest, release, warehouse, NOW).warnings == ()
        [warning] = preview.explain(plan, manifest, release, Misreading(warehouse), NOW).warnings
        warehouse.execute(
            [
                Statement("nothing was made", f"CREATE SCHEMA {name}")
                for name in ("features", "_plane")
            ]
        )
        warehouse.close()
    assert warning.startswith("feature view 'spend': the warehouse may refuse to ")
    assert "TILE_SINCE" in warning
