"""What a deploy makes true: kinds of change told apart, versions that show until the next is
complete, one release."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.api.deploy import deploy
from controlplane.api.plan import plan
from controlplane.deploy.release_files import KEPT_RELEASES
from controlplane.errors import PlaneError
from controlplane.manifest import stored as manifests
from controlplane.materialize.tasks import activate
from controlplane.plan.steps import ShowVersion, statements
from controlplane.release.program import build
from controlplane.sql.views import render_view
from controlplane.workspace.compiling import compile_project
from tests.shop import Shop

WIDER = ('windows=["2d"]', 'windows=["3d"]')
OWNER = ('OWNER = "team@example.com"', 'OWNER = "others@example.com"')


def kinds(shop: Shop) -> list[str]:
    """The actions of the plan."""
    return [action["kind"] for action in shop.plane("plan", "--json").json["actions"]]


def files(shop: Shop) -> dict[str, bytes]:
    """Everything that Airflow could read."""
    root = shop.folder / ".plane" / "airflow" / "local" / "dags"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def current(shop: Shop) -> str:
    return (shop.folder / ".plane" / "airflow" / "local" / "dags" / "CURRENT").read_text().strip()


def columns(shop: Shop) -> list[str]:
    """What SQL users see of the view."""
    return [row[0] for row in shop.sql("DESCRIBE features.spend")]


def test_it_is_created_and_then_there_is_nothing_to_do(shop):
    assert kinds(shop) == ["create_view", "create_service"]
    shop.plane("deploy")
    assert kinds(shop) == []
    assert columns(shop) == [
        "user_id",
        "valid_from",
        "valid_to",
        "count_1d",
        "amount_sum_2d",
        "country",
    ]
    before, deployed = files(shop), current(shop)
    assert {name.split("/")[1] for name in before if name != "CURRENT"} == {deployed}
    assert shop.plane("deploy", "--json").json["deployment"] is None
    assert files(shop) == before


def test_the_same_project_elsewhere_gives_the_same_bytes(make):
    one, two = make(), make()
    two.resettle((two.name, one.name))
    one.plane("deploy")
    two.plane("deploy")
    assert files(one) == files(two)


def test_the_kinds_of_change_are_told_apart(shop):
    shop.ready()
    version = shop.sql("SELECT fingerprint FROM _plane.doors")
    shop.redefine(("\n    return f", "\n    # A comment.\n    return f"))
    # Nothing that is declared changes; DAGs and tables say on which line it stands.
    assert kinds(shop) == ["rerender"]
    shop.redefine(OWNER)
    assert kinds(shop) == ["update_view", "update_service"]
    shop.plane("deploy")
    assert shop.sql("SELECT fingerprint FROM _plane.doors") == version
    assert "nothing to do" in shop.plane("run").out
    shop.redefine(OWNER, WIDER)
    assert kinds(shop) == ["redefine_view", "update_service"]
    shop.redefine(
        OWNER, ('"country", "string"', '"country", "string", description="Where the card is from."')
    )
    assert kinds(shop) == ["update_view"]
    shop.define('"""Nothing."""\n')
    assert kinds(shop) == ["drop_view", "drop_service"]


def test_a_redefined_view_shows_its_old_version_until_the_new_one_is_complete(shop):
    shop.ready()
    old = columns(shop)
    shop.redefine(WIDER)
    shop.plane("deploy")
    assert columns(shop) == old
    assert shop.get(1) == {"count_1d": 1, "amount_sum_3d": None, "country": "NO"}
    shop.plane("run", "--start", "2024-01-01", "--end", "2024-01-03")
    assert columns(shop) == old
    assert shop.get(1) == {"count_1d": 1, "amount_sum_3d": None, "country": "NO"}
    assert shop.plane("status", "--json").json[0]["shown"] is False
    shop.plane("run")
    assert "amount_sum_3d" in columns(shop)
    assert shop.get(1) == {"count_1d": 1, "amount_sum_3d": 30, "country": "NO"}
    shop.redefine()
    shop.plane("deploy")
    assert columns(shop) == old
    shop.plane("run")
    assert shop.get(1) == {"count_1d": 1, "amount_sum_2d": 30, "country": "NO"}


ABOVE = """
from controlplane import Aggregate, BatchSource, FeatureService, batch_feature_view, calculation
from shop import OWNER, spend, user

spending = BatchSource("spending", table="features.spend", timestamp="valid_from")


@batch_feature_view(
    entities=[user], sources=[spending], schedule="1d", start="2024-01-01", owner=OWNER,
    features=[Aggregate("max", "amount_sum_2d", windows=["3d"])],
)
def peaks(spending):
    return f"SELECT * FROM {spending}"


share = calculation("share", "float64", "spend__amount_sum_2d / peaks__amount_sum_2d_max_3d")
both = FeatureService("both", features=[share, spend, peaks], owner=OWNER)
"""


def test_views_that_read_each_other_come_at_once(shop):
    shop.define(ABOVE, file="above.py")
    planned = shop.plane("plan").out
    assert "+ feature view peaks" in planned
    assert "    + share" in planned
    shop.plane("deploy")
    ran = shop.plane("run").out
    assert ran.index("spend") < ran.index("peaks")
    assert shop.plane("plan", "--detailed-exitcode").out.startswith("No changes")
    found = shop.plane("get", "both", "--key", "user_id=1", "--json").json
    values = {name: entry["value"] for name, entry in found.items()}
    assert (values["peaks__amount_sum_2d_max_3d"], values["share"]) == (10, 3.0)
    assert shop.plane("get", "both", "--key", "user_id=1").out.splitlines()[-1].split()[:2] == [
        "share",
        "3.0",
    ]
    shop.redefine(
        ("SELECT user_id, paid_at, amount", "SELECT user_id, paid_at, 2 * amount AS amount")
    )
    planned = shop.plane("plan").out
    assert "version of spend, which it reads" in planned
    shop.plane("deploy")
    shop.plane("run")
    assert shop.get(1, "both")["amount_sum_2d_max_3d"] == 20


def test_a_dropped_view_keeps_its_tables(shop):
    shop.ready()
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'features' AND table_type = '{}'"
    kept = sorted(shop.sql(tables.format("BASE TABLE")))
    assert len(kept) == 4
    assert len(shop.sql(tables.format("VIEW"))) == 5
    shop.define('"""Nothing."""\n')
    shop.plane("deploy", "--yes")
    assert kinds(shop) == []
    assert sorted(shop.sql(tables.format("BASE TABLE"))) == kept
    assert shop.sql(tables.format("VIEW")) == []
    assert not [name for name in files(shop) if current(shop) in name and "spend" in name]
    assert "nothing to do" in shop.plane("run").out
    shop.redefine()
    shop.plane("deploy")
    assert shop.plane("status", "--json").json[0]["state"] == "up to date"
    assert len(shop.sql("FROM features.spend")) > 0


def finish_an_earlier_run(folder: Path, deployment: int) -> bool:
    """The last task of a run that began with an earlier release."""
    with ControlPlane(folder) as plane:
        deployments = plane.project.state.history("local")
        manifest = manifests.from_json(next(d.manifest for d in deployments if d.id == deployment))
        view = manifest.views[0]
        return activate(
            build(manifest, view),
            plane.project.warehouse,
            plane.project.store,
            render_view(manifest, view).doors,
            plane.project.now(),
        )


def test_a_run_of_an_earlier_release_flips_nothing_back(shop):
    shop.ready()
    shop.redefine(WIDER)
    shop.plane("deploy")
    shop.plane("run")
    assert finish_an_earlier_run(shop.folder, 1) is False
    assert "amount_sum_3d" in columns(shop)
    assert shop.get(1)["amount_sum_3d"] == 30
    shop.define('"""Nothing."""\n')
    shop.plane("deploy", "--yes")
    assert finish_an_earlier_run(shop.folder, 2) is False
    assert shop.sql("FROM _plane.doors") == []


def test_a_stale_plan_is_refused(shop):
    shop.plane("deploy")
    shop.redefine(WIDER)
    with ControlPlane(shop.folder) as plane:
        planned = plan(plane.project, compile_project(plane.project))
        plane.deploy()
        with pytest.raises(PlaneError) as raised:
            deploy(plane.project, planned, lambda _: None, lambda _: True)
    assert raised.value.message == "the plan is stale: somebody has deployed since it was made"
    assert raised.value.hint == "run `plane plan` again and look at what changed"


def test_the_statements_of_a_plan_are_those_of_its_steps(shop):
    shop.ready()
    shop.redefine(WIDER)
    with ControlPlane(shop.folder) as plane:
        planned = plan(plane.project, compile_project(plane.project))
        fixed = [one for step in planned.steps for one in statements(step)]
        recorder = Recorder(plane.project.warehouse)
        plane.project.__dict__["warehouse"] = recorder
        deploy(plane.project, planned, lambda _: None, lambda _: True)
    shown = [
        one for step in planned.steps if isinstance(step, ShowVersion) for one in step.statements
    ]
    assert set(fixed) - set(shown) <= set(recorder.ran)
    # The new version is not computed yet.
    assert not set(shown) & set(recorder.ran)
    shop.redefine()
    printed = shop.plane("plan", "--sql").out
    assert "-- Create the tables of feature view spend.\nCREATE SCHEMA IF NOT EXISTS" in printed
    assert (
        "if it is computed for all intervals that are due and not shown yet.\nCREATE OR REPLACE VIEW"
        in printed
    )
    shop.sql(printed)


class Recorder:
    """A warehouse that notes the statements that it runs."""

    def __init__(self, warehouse):
        self._warehouse = warehouse
        self.ran = []

    def execute(self, statements, **options):
        self.ran += statements
        return self._warehouse.execute(statements, **options)

    def __getattr__(self, name):
        return getattr(self._warehouse, name)


def test_two_deploys_do_not_run_at_once(shop):
    with ControlPlane(shop.folder) as plane:
        state = plane.project.state
        with state.lock(
            "local", holder="ann@laptop:7", purpose="deploy", now=lambda: datetime.now(UTC)
        ):
            done = shop.plane("deploy", code=1)
    assert f"local of project {shop.name} is locked by ann@laptop:7" in done.err
    shop.plane("deploy")


@pytest.mark.parametrize("harm", ["pointer", "folder", "file", "text"])
def test_a_damaged_release_is_seen_and_mended(shop, harm):
    shop.plane("deploy")
    before, root = files(shop), shop.folder / ".plane" / "airflow" / "local" / "dags"
    folder = root / "releases" / current(shop)
    match harm:
        case "pointer":
            (root / "CURRENT").unlink()
        case "folder":
            folder.rename(root / "elsewhere")
        case "file":
            (folder / "sql" / "spend.publish.sql").unlink()
        case "text":
            (folder / "spend.py").write_text("# nothing")
    [finding] = [f for f in shop.plane("doctor", "--json", code=1).json if f["level"] == "error"]
    assert finding["subject"] == "release"
    assert finding["hint"] == "run `plane deploy`: it writes the release again"
    shop.plane("deploy")
    assert {
        name: text for name, text in files(shop).items() if not name.startswith("elsewhere")
    } == before
    shop.plane("doctor")


def test_old_releases_are_swept_but_not_the_current_one(shop):
    shop.plane("deploy")
    releases = shop.folder / ".plane" / "airflow" / "local" / "dags" / "releases"
    first = current(shop)
    os.utime(releases / first, (0, 0))
    for number in range(KEPT_RELEASES + 3):
        (releases / f"old{number}").mkdir()
    shop.redefine(OWNER)
    shop.plane("deploy")
    # The newest ones, the one that was read until now, and the new one.
    assert len(list(releases.iterdir())) == KEPT_RELEASES + 2
    assert (releases / first).is_dir()
    assert (releases / current(shop)).is_dir()
