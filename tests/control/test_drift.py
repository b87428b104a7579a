"""What was deployed and is missing or altered is named, made again, and filled."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from controlplane import ControlPlane
from controlplane.base.naming import cursor_hash, head, serving_hash
from controlplane.errors import PermanentError
from controlplane.plan.actions import Repair
from tests.control.team import Team, features, ready, version
from tests.shop import Shop

EARLIER = ('windows=["2d"]', 'windows=["3d"]')


def values(shop: Shop) -> list[list[tuple[Any, ...]]]:
    """All that SQL users see."""
    shown = ["SELECT * FROM features.spend ORDER BY ALL"]
    shown.append("SELECT * FROM features.spend__latest ORDER BY ALL")
    shown.append("SELECT * FROM features.spend__tiles ORDER BY ALL")
    shown.append(
        "SELECT * EXCLUDE (version, recorded_from) FROM features.spend__history ORDER BY ALL"
    )
    return [shop.sql(query) for query in shown]


def repairs(shop: Shop) -> list[dict[str, Any]]:
    """What a deploy would make again, as `plane plan` tells it; it ends with 2."""
    planned = shop.plane("plan", "--json", "--detailed-exitcode", code=2).json
    found: list[dict[str, Any]] = planned["actions"]
    assert {action["kind"] for action in found} == {"repair"}
    return found


def seen(shop: Shop, name: str) -> None:
    """That plan, status and doctor all name an object."""
    assert name in shop.plane("plan").out
    [status] = shop.plane("status", "--json").json
    assert status["state"] == "damaged"
    assert any(name in problem for problem in status["problems"])
    assert name in shop.plane("status").out
    told = shop.plane("doctor", "--json", code=1).json
    errors = [finding for finding in told if finding["level"] == "error"]
    assert any(name in finding["message"] and finding["hint"] for finding in errors)


def whole(shop: Shop) -> None:
    """That nothing is wrong any more."""
    assert "No changes" in shop.plane("plan", "--detailed-exitcode").out
    [status] = shop.plane("status", "--json").json
    assert (status["state"], status["problems"]) == ("up to date", [])
    assert "agrees with the warehouse" in shop.plane("online", "verify").out


def name_of(shop: Shop, part: str) -> str:
    """The table of the deployed version, as `schema.name`."""
    fingerprint = version(shop.folder)
    if part == "head":
        return f"_plane.{head('features', 'spend', fingerprint)}"
    return f"features.spend__{part}__{fingerprint}"


def quoted(table: str) -> str:
    """The same in SQL."""
    schema, _, name = table.partition(".")
    return f'"{schema}"."{name}"'


@pytest.mark.parametrize(
    "part", ["tiles", "rollups", "history", "history_replaced", "latest", "head"]
)
def test_a13_a_table_that_is_missing(shop, part):
    """Case A13: it is named, a deploy makes it again, and a run computes what it held."""
    shop.define(WIDE)
    shop.ready()
    before, number = values(shop), shop.plane("plan", "--json").json["base"]
    table = name_of(shop, part)
    shop.sql(f"DROP TABLE {quoted(table)}")
    seen(shop, f"{table} is missing")
    [repair] = repairs(shop)
    assert [damage["name"] for damage in repair["damages"]] == [table]
    run = shop.plane("run", code=1)
    assert run.err.startswith(
        f"error: features/shop.py:9: feature view 'spend': {table} is missing\n"
    )
    assert "run `plane deploy`" in run.err
    lost = part != "history_replaced"
    assert repair["recomputed"] is lost
    [forecast] = shop.plane("plan", "--json").json["forecasts"]
    assert [part["intervals"] for part in forecast["missing"]] == ([4] if lost else [])
    assert shop.plane("deploy", "--json").json["deployment"] is None
    assert shop.plane("plan", "--json").json["base"] == number
    [status] = shop.plane("status", "--json").json
    assert status["state"] == ("not computed" if lost else "up to date")
    assert ("nothing to do" in shop.plane("run").out) is not lost
    assert values(shop) == before
    whole(shop)


WIDE = '''"""A view with windows that are long enough for rollups."""

from controlplane import Aggregate, BatchSource, Entity, FeatureService, batch_feature_view

user = Entity("user", keys={"user_id": "int64"}, owner="team@example.com")
payments = BatchSource("payments", table="raw.payments", timestamp="paid_at")


@batch_feature_view(
    entities=[user], sources=[payments], schedule="1d", start="2024-01-01",
    features=[Aggregate("count", windows=["4d"]), Aggregate("sum", "amount", windows=["3d"])],
    owner="team@example.com",
)
def spend(payments):
    return f"SELECT user_id, paid_at, amount FROM {payments}"


shop = FeatureService("shop", features=[spend], owner="team@example.com")
'''


@pytest.mark.parametrize("view", ["spend", "spend__latest", "spend__history", "spend__tiles"])
def test_a13_a_public_view_that_is_missing(shop, view):
    """Case A13: users' views are made again by the deploy; nothing is computed."""
    shop.ready()
    before = values(shop)
    shop.sql(f"DROP VIEW features.{view}")
    seen(shop, f"features.{view} is missing")
    assert [repair["recomputed"] for repair in repairs(shop)] == [False]
    assert f"features.{view} is missing" in shop.plane("run", code=1).err
    shop.plane("deploy")
    assert values(shop) == before
    whole(shop)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE {} DROP COLUMN amount_sum_2d", "has lost its column amount_sum_2d"),
        ("ALTER TABLE {} ADD COLUMN note VARCHAR", "has an additional column, note"),
        (
            "ALTER TABLE {} ALTER amount_sum_2d TYPE DOUBLE",
            "has column amount_sum_2d of type float64 instead of int64",
        ),
    ],
)
def test_a13_a_table_that_was_altered(shop, change, told):
    """Case A13: an altered table is dropped only where that was approved."""
    shop.ready()
    before = values(shop)
    table = name_of(shop, "history")
    shop.sql(change.format(quoted(table)))
    seen(shop, f"{table} {told}")
    assert f"it drops {quoted(table)}" in shop.fails("deploy", "--json")
    assert f"{table} {told}" in shop.plane("plan").out
    shop.plane("deploy", "--yes")
    shop.plane("run")
    assert values(shop) == before
    whole(shop)


def test_a13_another_view_in_place_of_ours(shop):
    """Case A13: a public view that shows something else."""
    shop.ready()
    before = values(shop)
    shop.sql("CREATE OR REPLACE VIEW features.spend AS SELECT 1 AS one")
    seen(shop, "features.spend has other columns than were deployed")
    shop.plane("deploy")
    assert values(shop) == before
    whole(shop)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("spend", ["DROP VIEW features.spend", "CREATE TABLE features.spend (a INTEGER)"]),
        ("spend__history__{}", ["DROP TABLE {}", "CREATE VIEW {} AS SELECT 1 AS a"]),
    ],
)
def test_a13_an_object_of_another_kind_with_our_name(shop, name, change):
    """Case A13: a deploy can't replace it, so the error says what to do."""
    shop.ready()
    table = name_of(shop, "history") if "{}" in name else f"features.{name}"
    for sql in change:
        shop.sql(sql.format(quoted(table)))
    error = shop.plane("deploy", "--yes", code=1).err
    assert "is of type" in error
    assert "another kind of object" in error
    kind = "VIEW" if "{}" in name else "TABLE"
    shop.sql(f"DROP {kind} {quoted(table)}")
    shop.plane("deploy")
    shop.plane("run")
    whole(shop)


def test_a13_rows_of_the_ledger_that_are_missing(shop):
    """Case A13: the head knows more publications than the ledger has."""
    shop.ready()
    before = values(shop)
    shop.sql("DELETE FROM _plane.ledger")
    seen(shop, "_plane.ledger has lost publications of feature view spend")
    shop.plane("deploy")
    assert "nothing to do" not in shop.plane("run").out
    assert values(shop) == before
    whole(shop)


@pytest.mark.parametrize("table", ["ledger", "doors", "deployed", "owners", "identity"])
def test_a13_a_control_table_that_is_missing(shop, table):
    """Case A13: each table of `_plane` that all views share."""
    shop.ready()
    before = values(shop)
    shop.sql(f"DROP TABLE _plane.{table}")
    seen(shop, f"_plane.{table} is missing")
    shop.plane("deploy")
    if table == "identity":
        # It is another warehouse from then on, which has to be told to the online store.
        shop.plane("online", "take-over", "--yes")
    shop.plane("run")
    assert values(shop) == before
    whole(shop)


def test_a13_a_row_of_the_deployed_versions_that_is_missing(shop):
    """Case A13: without it, no run would ever show a newer version."""
    shop.ready()
    shop.sql("DELETE FROM _plane.deployed")
    seen(
        shop, f"_plane.deployed does not list version {version(shop.folder)} of feature view spend"
    )
    shop.plane("deploy")
    whole(shop)


def test_a13_a_column_of_38_digits_that_was_made_narrower(shop):
    """Case A13: it is altered, and no sum of an earlier version, whatever its type is."""
    shop.redefine(
        ('Attribute("country", "string")', 'Attribute("total", "decimal(38,0)")'),
        ("amount, country FROM", "amount, CAST(amount AS DECIMAL(38, 0)) AS total FROM"),
    )
    shop.ready()
    table = name_of(shop, "history")
    shop.sql(f"ALTER TABLE {quoted(table)} ALTER total TYPE BIGINT")
    seen(shop, f"{table} has column total of type int64 instead of decimal(38,0)")
    shop.plane("deploy", "--yes")
    shop.plane("run")
    whole(shop)


def test_a13_files_of_the_release_that_are_missing(shop):
    """Case A13: the plan names them; `plane doctor` did before."""
    shop.ready()
    releases = shop.folder / ".plane" / "airflow" / "local" / "dags" / "releases"
    shutil.rmtree(releases)
    [repair] = repairs(shop)
    [damage] = repair["damages"]
    assert damage["name"] == "release"
    assert damage["problem"].endswith("is missing")
    shop.plane("deploy")
    assert "No changes" in shop.plane("plan").out
    file = next(releases.rglob("spend.publish.sql"))
    file.write_text("SELECT 1")
    assert "spend.publish.sql" in repairs(shop)[0]["damages"][0]["problem"]
    shop.plane("deploy")
    assert "No changes" in shop.plane("plan").out


def test_a13_the_pointer_of_readers_that_is_missing(shop):
    """Case A13: a version that is synced and shown, but served to nobody."""
    shop.ready()
    right = shop.get(1)
    with shop.client() as redis:
        redis.delete(serving_hash(f"{shop.name}.local"))
    seen(shop, "points readers of spend to no version instead of")
    shop.plane("deploy")
    whole(shop)
    assert shop.get(1) == right


def test_a13_a_cursor_that_is_missing(shop):
    """Case A13: the next run writes all keys, as the status says."""
    shop.ready()
    before = shop.stored()
    with shop.client() as redis:
        redis.delete(cursor_hash(f"{shop.name}.local", "spend", version(shop.folder)))
        redis.delete(*before)
    [status] = shop.plane("status", "--json").json
    assert (status["state"], status["synced_at"]) == ("damaged", None)
    assert "Redis has no sync cursor of spend" in status["problems"][0]
    shop.plane("run")
    assert shop.stored().keys() == before.keys()
    whole(shop)


def test_a13_the_older_version_that_public_views_still_show(shop):
    """Case A13: a redefined view shows its old version; where that is lost, the new one shows."""
    shop.ready()
    old = name_of(shop, "history")
    shop.redefine(EARLIER)
    shop.plane("deploy")
    shop.sql(f"DROP TABLE {quoted(old)}")
    seen(shop, f"{old} is missing, which public views show")
    shop.plane("deploy")
    assert "amount_sum_3d" in [row[0] for row in shop.sql("DESCRIBE features.spend")]
    shop.plane("run")
    whole(shop)


def test_a13_on_every_engine(team: Team):
    """Case A13: a lost history, a lost public view and a lost column."""
    folder = team.laptop("one")
    ready(folder)
    right = features(folder, 1)
    assert right == {"count_1d": 1, "amount_sum_2d": 30, "country": "NO"}
    fingerprint = version(folder)
    shown = "SELECT * FROM features.spend ORDER BY user_id, valid_from"
    before = team.rows(shown)
    assert len(before) > 4
    tiles = team.quote("features", f"spend__tiles__{fingerprint}")
    latest = team.quote("features", f"spend__latest__{fingerprint}")
    team.run(
        f"DROP TABLE {team.quote('features', f'spend__history__{fingerprint}')}",
        "DROP VIEW features.spend__tiles",
        f"DROP TABLE {latest}",
        f"CREATE TABLE {latest} AS SELECT user_id, tile_start AS valid_from FROM {tiles}",
    )
    with ControlPlane(folder) as plane:
        [status] = plane.status()
        assert status.state == "damaged"
        plan, deployment = plane.deploy()
        assert deployment is None
        [repair] = plan.actions
        assert isinstance(repair, Repair)
        assert repair.recomputed
        assert repair.dropped == (latest,)
        problems = {damage.name: damage.problem for damage in repair.damages}
        assert problems == {
            f"features.spend__history__{fingerprint}": "is missing",
            "features.spend__tiles": "is missing",
            f"features.spend__latest__{fingerprint}": problems[
                f"features.spend__latest__{fingerprint}"
            ],
        }
        assert "has lost its column country" in problems[f"features.spend__latest__{fingerprint}"]
        plane.run()
        assert plane.plan().empty
        [status] = plane.status()
        assert (status.state, status.problems) == ("up to date", ())
    assert team.rows(shown) == before


def test_a9_a_warehouse_that_was_made_again(team: Team):
    """Case A9: the warehouse is dropped and made again, and is another one."""
    folder = team.laptop("one")
    ready(folder)
    right = features(folder, 1)
    [old] = team.rows("SELECT id FROM _plane.identity")
    team.drop_all()
    team.load()
    team.run("UPDATE raw.payments SET amount = 2 * amount")
    shutil.rmtree(folder / ".plane")
    with ControlPlane(folder) as plane:
        plane.deploy()
        with pytest.raises(PermanentError) as refused:
            plane.run()
        assert old["id"] in refused.value.message
        assert features(folder, 1) == right
        taken = plane.online.take_over()
        assert taken.before is not None
        assert (taken.before.warehouse, taken.unhealed) == (old["id"], 0)
        plane.run()
    assert features(folder, 1) == {**right, "amount_sum_2d": 60}
