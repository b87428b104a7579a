"""A schema has one owner, and a second state database over the same warehouse is noticed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest

from controlplane import ControlPlane
from controlplane.control import owners
from controlplane.control.owners import Owner
from controlplane.errors import PermanentError, PlaneError
from tests.control.team import Team, version
from tests.shop import Shop

WIDER = ('windows=["2d"]', 'windows=["3d"]')
OWNER = ('OWNER = "team@example.com"', 'OWNER = "others@example.com"')


def beside(shop: Shop, make: Callable[..., Shop]) -> Shop:
    """A second laptop: the same project and warehouse, a state database of its own."""
    other = make(online=None)
    other.resettle((other.name, shop.name))
    warehouse = shop.folder / ".plane" / "warehouse.duckdb"
    other.resettle(('path = ".plane/warehouse.duckdb"', f'path = "{warehouse}"'))
    return other


def test_a10_two_state_databases_over_one_warehouse(shop, make):
    """Case A10: the first laptop is told that the second has deployed, instead of "No changes"."""
    shop.ready()
    other = beside(shop, make)
    other.redefine(WIDER)
    planned = other.plane("plan")
    assert (
        "conflict: schema 'features' of the warehouse was deployed with another state"
        in planned.out
    )
    assert "deployment 1, by" in planned.out
    assert "`plane deploy --adopt`" in planned.out
    refused = other.fails("deploy", "--yes")
    assert "nothing was deployed" in refused
    assert "set `state` in plane.toml" in refused
    assert "No changes" in shop.plane("plan").out

    other.plane("deploy", "--yes", "--adopt")
    other.plane("run")
    assert "No changes" in other.plane("plan").out
    first = shop.plane("plan", "--detailed-exitcode", code=2)
    assert "is not recorded in this one" in first.out
    assert "No changes" not in first.out
    assert "is not recorded" in shop.fails("deploy", "--yes")
    [status] = shop.plane("status", "--json").json
    assert status["state"] == "replaced"
    assert "is not recorded in this one" in status["problems"][0]
    levels = shop.plane("doctor", "--json", code=1).json
    [finding] = [f for f in levels if f["subject"] == "deployment"]
    assert (finding["level"], finding["hint"]) == ("error", owners.OTHER_STATE)

    shop.plane("deploy", "--yes", "--adopt")
    assert "No changes" in shop.plane("plan").out
    assert "conflict" in other.plane("plan").out


def test_a10_a_warehouse_that_an_earlier_version_deployed(shop, make):
    """Case A10: an earlier version recorded fingerprints alone; a fresh state is told of these."""
    shop.ready()
    [[fingerprint]] = shop.sql("SELECT fingerprint FROM _plane.deployed")
    shop.sql("DROP TABLE _plane.owners", "DROP TABLE _plane.identity")
    other = beside(shop, make)
    told = other.plane("plan").out
    assert f"spend {fingerprint} is not recorded in this one" in told
    assert "nothing was deployed" in other.fails("deploy", "--yes")
    assert "No changes" in shop.plane("plan").out
    shop.plane("deploy", "--yes")
    assert shop.sql("SELECT deployment FROM _plane.owners") == [(1,)]


def test_a10_a_deploy_that_was_stopped_is_no_conflict(shop):
    """Case A10: the warehouse names the last deployment that was recorded, or none yet."""
    shop.plane("deploy", "--yes")
    shop.redefine(OWNER)
    shop.plane("deploy", "--yes")
    rows = "SELECT deployment FROM _plane.owners"
    assert shop.sql(rows) == [(2,)]
    with ControlPlane(shop.folder) as plane:
        [second, first] = plane.project.state.history("local")
    shop.sql(
        f"UPDATE _plane.owners SET deployment = 1, release_digest = '{first.release}', "
        f"deployed_at = TIMESTAMP '{first.deployed_at.replace(tzinfo=None)}'"
    )
    assert "No changes" in shop.plane("plan").out
    shop.plane("deploy", "--yes")
    assert shop.sql(f"{rows} WHERE release_digest = '{second.release}'") == [(2,)]


def test_a14_two_environments_on_one_schema(make):
    """Case A14: the second environment is refused, and production's public view stays."""
    shop = make(online=None)
    text = (shop.folder / "plane.toml").read_text()
    local = text[text.index("[environments.local]") :].replace("local]", "alice]")
    shop.settings(f"{text}\n{local}")
    shop.ready()
    before = shop.sql("DESCRIBE features.spend")
    shop.redefine(WIDER)
    for arguments in (["deploy", "--yes"], ["deploy", "--yes", "--json"]):
        refused = shop.fails(*arguments, "--env", "alice")
        assert "'alice'" in refused
        assert "may not write to schema 'features': it belongs to environment 'local'" in refused
        assert "give this environment a schema of its own (`schema = ...`" in refused
    assert "it belongs to environment 'local'" in shop.plane("plan", "--env", "alice").out
    assert shop.sql("DESCRIBE features.spend") == before

    shop.plane("deploy", "--yes", "--env", "alice", "--adopt")
    shop.redefine()
    stale = shop.fails("run")
    assert "may not write to schema 'features': it belongs to environment 'alice'" in stale
    assert "it belongs to environment 'alice'" in shop.plane("plan").out
    [status] = shop.plane("status", "--json").json
    assert status["state"] == "replaced"


def test_a14_a_schema_of_its_own(make):
    """Case A14: the remedy works: each environment has its schema."""
    shop = make(online=None)
    text = (shop.folder / "plane.toml").read_text()
    local = text[text.index("[environments.local]") :].replace("local]", 'alice]\nschema = "alice"')
    shop.settings(f"{text}\n{local}")
    shop.ready()
    shop.plane("deploy", "--yes", "--env", "alice")
    shop.plane("run", "--env", "alice")
    assert "No changes" in shop.plane("plan").out
    found = shop.sql("SELECT schema_name, environment FROM _plane.owners ORDER BY 1")
    assert found == [("alice", "alice"), ("features", "local")]


def test_a10_and_a14_on_every_engine(team: Team):
    """Cases A10 and A14: another state database, another project, and a stale environment."""
    one = team.laptop("one", environment="production")
    two = team.laptop("two", WIDER, environment="production")
    with ControlPlane(one) as plane:
        plane.deploy()
    with ControlPlane(two) as plane:
        assert "with another state database" in plane.plan().conflict
        with pytest.raises(PlaneError) as refused:
            plane.deploy()
        assert refused.value.hint == owners.OTHER_STATE
        plane.deploy(adopt=True)
        assert plane.plan().empty
    with ControlPlane(one) as plane:
        assert "with another state database" in plane.plan().conflict
        assert not plane.plan().empty

    columns = team.columns("features.spend")
    other = team.laptop("other", project="another", environment="production")
    with ControlPlane(other) as plane:
        assert f"of project '{team.name}'" in plane.plan().conflict
        with pytest.raises(PlaneError) as refused:
            plane.deploy()
        assert refused.value.hint == owners.OTHER_SCHEMA
        assert team.columns("features.spend") == columns
        plane.deploy(adopt=True)
    with ControlPlane(two) as plane, pytest.raises(PermanentError) as stale:
        plane.run()
    assert "it belongs to environment 'production' of project 'another'" in stale.value.message
    assert version(two) != version(other)


def test_the_first_claim_stays(team: Team):
    now = datetime(2024, 1, 5, tzinfo=UTC)
    first = Owner("features", "shop", "local", 0, "digest", "ann@laptop", now)
    with closing(team.connect()) as warehouse:
        d = team.dialect
        warehouse.execute([*owners.prepare(d), owners.claim(d, first)])
        second = Owner("features", "shop", "alice", 0, "digest", "bob@laptop", now)
        warehouse.execute([*owners.prepare(d), owners.claim(d, second)])
        assert owners.read(warehouse, "features") == first
        assert owners.read(warehouse, "others") is None
        recorded = Owner("features", "shop", "local", 3, "digest", "ann@laptop", now)
        warehouse.execute([owners.record(d, recorded)])
        assert owners.check(warehouse, "features", "shop", "local") == recorded


def test_a_projects_name_is_quoted(team: Team):
    hostile = Owner(
        "features", "o'hara", "a\\'b", 0, "d", "x' OR 1 = 1", datetime(2024, 1, 5, tzinfo=UTC)
    )
    with closing(team.connect()) as warehouse:
        warehouse.execute([*owners.prepare(team.dialect), owners.claim(team.dialect, hostile)])
        assert owners.read(warehouse, "features") == hostile
