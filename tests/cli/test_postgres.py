"""The record of deployments in a real PostgreSQL, as a team has it."""

from __future__ import annotations

from tests.state.conftest import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]


def test_from_deploy_to_features(make, postgres_url):
    shop, other = (make(state="${PLANE_STATE_URL}") for _ in range(2))
    for one in (shop, other):
        one.extra["PLANE_STATE_URL"] = postgres_url
    shop.ready()
    assert shop.plane("plan", "--json").json["actions"] == []
    assert shop.get(1)["amount_sum_2d"] == 30
    assert not (shop.folder / ".plane" / "state.db").exists()
    # Another project in the same database knows nothing of it.
    assert "nothing is deployed" in other.fails("status")
    other.plane("deploy")
    shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
    assert shop.plane("deploy", "--json").json["plan"]["base"] == 1
    assert all(finding["level"] == "ok" for finding in shop.plane("doctor", "--json").json)
