"""A plan is data: what changes between two manifests, what is left to compute, and when an event is
seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from connectors.duckdb.warehouse import connect
from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.base.ports import Statement
from controlplane.base.types import Interval
from controlplane.errors import Location
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import CalculationSpec, Manifest
from controlplane.plan.actions import Change, Rerender
from controlplane.plan.diff import describe, diff, text
from controlplane.plan.forecast import Gap, covered_by, forecast
from controlplane.plan.plan import Plan, make_plan
from tests.engine.rig import compiled

DAY = timedelta(days=1)
NOW = datetime(2024, 1, 11, 1, tzinfo=UTC)
user = Entity("user", keys={"user_id": "int64"}, owner="team")
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at")


def spend(**changes: Any) -> BatchFeatureView:
    """A view over `raw.payments`, as it is unless said otherwise."""
    source = changes.pop("source", payments)
    query, description = changes.pop("sql", "SELECT * FROM {}"), changes.pop("description", None)
    declared: dict[str, Any] = {
        "entities": [user],
        "sources": [source],
        "schedule": "1d",
        "start": "2024-01-01",
        "features": [Aggregate("count", windows=["1d"]), Attribute("country", "string")],
        "owner": "team",
    }

    def view(payments):
        return query.format(payments)

    view.__doc__ = description
    view.__name__ = changes.pop("name", "spend")
    return batch_feature_view(**{**declared, **changes})(view)


@pytest.fixture
def manifest():
    """Makes manifests of views."""
    warehouse = connect(path=":memory:")
    columns = "(user_id BIGINT, paid_at TIMESTAMP, amount BIGINT, country VARCHAR)"
    tables = (f"CREATE TABLE raw.{name} {columns}" for name in ("payments", "refunds"))
    warehouse.execute([Statement("prepare", sql) for sql in ("CREATE SCHEMA raw", *tables)])
    yield lambda *views: compiled(views, warehouse)
    warehouse.close()


def actions(before: Manifest | None, after: Manifest) -> list[Any]:
    return diff(before, after, "r1" if before else "", "r1")


def brief(found: Iterable[Any]) -> list[tuple[str, str]]:
    return [
        (str(a.__struct_config__.tag), getattr(a, "view", "") or getattr(a, "service", ""))
        for a in found
    ]


def changes(found: Sequence[Any]) -> list[Change]:
    return [change for action in found for change in getattr(action, "changes", ())]


def test_at_first_everything_is_created(manifest):
    found = actions(None, manifest(spend()))
    assert brief(found) == [("create_view", "spend"), ("create_service", "all")]
    assert found[0].features == ("count_1d", "country")


def test_nothing_changes(manifest):
    assert actions(manifest(spend()), manifest(spend())) == []


def test_another_line_of_the_file_changes_no_property(manifest):
    before = manifest(spend())
    [view] = before.views
    moved = msgspec.structs.replace(view, location=Location("elsewhere.py", 7))
    after = msgspec.structs.replace(before, views=(moved,))
    assert diff(before, after, "r1", "r2") == [Rerender("r1", "r2")]


def test_comments_and_white_space_in_the_sql_make_no_new_version(manifest):
    again = manifest(spend(sql="SELECT *   FROM {} -- all of it\n"))
    assert brief(actions(manifest(spend()), again)) == [("update_view", "spend")]


def test_only_the_files_change(manifest):
    assert diff(manifest(spend()), manifest(spend()), "r1", "r2") == [Rerender("r1", "r2")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"owner": "others"}, Change("owner", "team", "others")),
        ({"description": "New."}, Change("description", "", "New.")),
        ({"tags": {"tier": "1"}}, Change("tags", "{}", '{"tier":"1"}')),
        ({"online": False}, Change("online", "yes", "no")),
        ({"sync_shards": 8}, Change("sync_shards", "1", "8")),
        ({"tasks": "view"}, Change("tasks", "steps", "view")),
        ({"end": "2024-02-01"}, Change("end", "", "2024-02-01T00:00:00Z")),
    ],
)
def test_what_leaves_values_alone_is_an_update(manifest, change, told):
    found = actions(manifest(spend()), manifest(spend(**change)))
    assert brief(found) == [("update_view", "spend")]
    assert changes(found) == [told]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schedule": "12h"}, "schedule: 1d -> 12h"),
        ({"start": "2024-01-02"}, "start: 2024-01-01T00:00:00Z -> 2024-01-02T00:00:00Z"),
        (
            {"sql": "SELECT * FROM {} WHERE amount > 0"},
            "sql: SELECT * FROM payments -> SELECT * FROM payments WHERE",
        ),
        (
            {"source": BatchSource("payments", table="raw.refunds", timestamp="paid_at")},
            "source payments table: raw.",
        ),
        (
            {"features": [Aggregate("count", windows=["2d"]), Attribute("country", "string")]},
            "feature count_2d:  -> c",
        ),
        (
            {"features": [Attribute("country", "string")]},
            "feature count_1d: count() over 1d: int64 -> ",
        ),
    ],
)
def test_what_changes_values_is_a_new_version(manifest, change, told):
    before, after = manifest(spend()), manifest(spend(**change))
    found = actions(before, after)
    assert brief(found)[0] == ("redefine_view", "spend")
    assert (
        found[0].before
        == before.views[0].fingerprint
        != found[0].after
        == after.views[0].fingerprint
    )
    assert any(f"{c.name}: {c.before} -> {c.after}".startswith(told) for c in changes(found)), (
        changes(found)
    )


def test_views_come_and_go(manifest):
    found = actions(manifest(spend()), manifest(spend(name="gains")))
    assert brief(found) == [
        ("create_view", "gains"),
        ("drop_view", "spend"),
        ("update_service", "all"),
    ]
    assert changes(found) == [
        Change("features", "spend__count_1d, spend__country", "gains__count_1d, gains__country"),
    ]


def test_calculations_of_a_service(manifest):
    before, after = manifest(spend()), manifest(spend())
    half = CalculationSpec(
        "half", "float64", "spend__count_1d / 2", ("spend__count_1d",), "", before.views[0].location
    )
    third = msgspec.structs.replace(
        half, name="third", expression="half / 1.5", inputs=("half",), description="Less."
    )

    def given(*calculations):
        [service] = after.services
        return msgspec.structs.replace(
            after, services=(msgspec.structs.replace(service, calculations=calculations),)
        )

    assert actions(None, given(half))[1].features == ("spend__count_1d", "spend__country", "half")
    assert changes(actions(before, given(half))) == [
        Change("calculation half", "", "spend__count_1d / 2: float64")
    ]
    changed = msgspec.structs.replace(half, expression="1.5")
    assert changes(actions(given(half, third), given(changed))) == [
        Change("calculation half", "spend__count_1d / 2: float64", "1.5: float64"),
        Change("calculation third", "half / 1.5: float64 (Less.)", ""),
    ]
    moved = msgspec.structs.replace(half, location=Location(half.location.file, 99))
    assert actions(given(half), given(moved)) == []


def test_a_service_goes(manifest):
    before = manifest(spend())
    assert brief(actions(before, msgspec.structs.replace(before, services=()))) == [
        ("drop_service", "all")
    ]


def test_columns_of_a_source_are_told_one_by_one(manifest):
    before = manifest(spend())
    source = msgspec.structs.replace(
        before.sources[0],
        columns=(("user_id", "string"), *before.sources[0].columns[2:], ("more", "bool")),
    )
    found = changes(actions(before, msgspec.structs.replace(before, sources=(source,))))
    assert found == [
        Change("source payments column user_id", "int64", "string"),
        Change("source payments column paid_at", "timestamp", ""),
        Change("source payments column more", "", "bool"),
    ]


def test_features_and_values_in_words(manifest):
    where = Aggregate(
        "mean", "amount", windows=["24h"], offset="-1d", where="amount > 0", description="Euros."
    )
    [feature] = manifest(spend(features=[where])).views[0].features
    assert describe(feature) == "mean(amount) over 1d offset -1d where amount > 0: float64 (Euros.)"
    assert [text(value) for value in (None, DAY, NOW, "x", True, ("a", "b"))] == [
        "",
        "1d",
        "2024-01-11T01:00:00Z",
        "x",
        "yes",
        '["a","b"]',
    ]


def interval(first: int, last: int) -> Interval:
    return Interval(datetime(2024, 1, first, tzinfo=UTC), datetime(2024, 1, last, tzinfo=UTC))


@pytest.mark.parametrize(
    ("covered", "missing"),
    [
        ([], [(1, 11)]),
        ([(1, 11)], []),
        ([(1, 4), (4, 11)], []),
        ([(2, 3), (5, 7)], [(1, 2), (3, 5), (7, 11)]),
    ],
)
def test_what_is_left_to_compute(manifest, covered, missing):
    made = manifest(spend())
    key = ("features.spend", made.views[0].fingerprint)
    [found] = forecast(made, covered_by({key: [interval(*c) for c in covered]}, "features"), NOW)
    assert list(found.missing) == [
        Gap(i.start, i.end, i.count(DAY)) for i in (interval(*m) for m in missing)
    ]
    assert found.intervals == sum(last - first for first, last in missing)


def test_when_an_event_is_seen(manifest):
    late = BatchSource("payments", table="raw.payments", timestamp="paid_at", settling_delay="2h")
    [found] = forecast(manifest(spend(source=late)), lambda *_: (), NOW)
    # At one o'clock the last day is not settled yet.
    assert found.missing[0].end == datetime(2024, 1, 10, tzinfo=UTC)
    assert (found.event, found.visible_at) == (
        datetime(2024, 1, 9, 12, tzinfo=UTC),
        datetime(2024, 1, 10, 2, tzinfo=UTC),
    )


def test_nothing_is_due_yet(manifest):
    [found] = forecast(manifest(spend(start="2025-01-01")), lambda *_: (), NOW)
    assert (found.missing, found.intervals) == ((), 0)
    assert found.visible_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_a_plan_and_its_release(manifest):
    made = manifest(spend())
    plan, release = make_plan(made, None, lambda *_: (), NOW)
    assert (plan.base, plan.release, plan.empty, plan.dropped) == (None, release.digest, False, [])
    deployed = (7, manifests.to_json(made), release.digest)
    same, again = make_plan(made, deployed, lambda *_: (), NOW)
    assert (same.base, same.empty, again.files) == (7, True, release.files)
    without = msgspec.structs.replace(made, views=(), services=())
    assert make_plan(without, deployed, lambda *_: (), NOW)[0].dropped == ["spend"]


def test_a_plan_survives_the_way_through_json(manifest):
    before = manifest(spend(), spend(name="gone"))
    after = manifest(spend(schedule="12h"), spend(name="new"))
    plan = make_plan(after, (1, manifests.to_json(before), "r"), lambda *_: (), NOW)[0]
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert [kind for kind, _ in brief(plan.actions)] == [
        "redefine_view",
        "create_view",
        "drop_view",
        "update_service",
    ]
