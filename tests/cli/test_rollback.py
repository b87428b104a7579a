"""Going back to what was deployed earlier, and what becomes of the values of versions that nobody
reads any more."""

from __future__ import annotations

import pytest

from controlplane import ControlPlane
from controlplane.base import naming

WIDER = ('windows=["2d"]', 'windows=["3d"]')
OLD = {"count_1d": 1, "amount_sum_2d": 30, "country": "NO"}
NEW = {"count_1d": 1, "amount_sum_3d": 30, "country": "NO"}


def redefined(shop):
    """The second version is computed, shown and served; the first lies behind it."""
    shop.ready()
    shop.redefine(WIDER)
    shop.ready()
    return shop


def columns(shop):
    return [row[0] for row in shop.sql("DESCRIBE features.spend")]


def versions(shop):
    found = shop.plane("online", "versions", "--json").json
    return [(one["fingerprint"], one["deployment"], one["current"], one["served"]) for one in found]


def keys(shop, fingerprint):
    prefix = naming.online_prefix(naming.namespace(shop.name, "local"), "spend", fingerprint)
    return [key for key in shop.stored() if key.startswith(prefix)]


def test_a_rollback_shows_and_serves_the_earlier_version_at_once(shop):
    redefined(shop)
    assert shop.get(1) == NEW
    new, old = [fingerprint for fingerprint, *_ in versions(shop)]
    # While the new version was the deployed one, time went on: the old one lags behind.
    shop.resettle(("2024-01-05T00:00:00Z", "2024-01-06T00:00:00Z"))
    shop.plane("run")
    told = shop.plane("rollback")
    assert "Deployed as number 3" in told.out
    assert "amount_sum_2d" in columns(shop)
    assert shop.get(1) == OLD
    assert versions(shop) == [(old, 3, True, True), (new, 2, False, False)]
    # The next run computes what it lacks, and a new deploy makes the files true again.
    [run] = shop.plane("run", "--json").json
    assert len(run["computed"]) == 1
    assert shop.get(1)["count_1d"] == 0
    assert versions(shop)[0][1:] == (3, True, True)
    shop.ready()
    assert "amount_sum_3d" in columns(shop)
    assert shop.get(1)["amount_sum_3d"] == 30


def test_a_rollback_to_a_number(shop):
    redefined(shop)
    assert (
        shop.fails("rollback", "7")
        .splitlines()[0]
        .endswith("deployment 7 does not exist in environment 'local'")
    )
    assert (
        shop.fails("rollback", "2")
        .splitlines()[0]
        .endswith("deployment 2 is the current deployment")
    )
    assert shop.plane("rollback", "1", "--json").json["deployment"] == 3
    assert shop.plane("rollback", "2", "--json").json["deployment"] == 4
    assert shop.get(1) == NEW
    serving = naming.serving_hash(naming.namespace(shop.name, "local"))
    with shop.client() as client:
        before = client.hgetall(serving)
        client.delete(serving)
        # There is nothing to deploy, and what is served is made sure of all the same.
        assert shop.plane("rollback", "2", "--json").json["deployment"] is None
        assert client.hgetall(serving) == before


def test_a_rollback_that_was_stopped_and_repeated_goes_to_the_same_deployment(shop):
    redefined(shop)

    class Stopped(Exception):
        """The rollback ends here."""

    def stop(step: str) -> None:
        if step == "online values":
            raise Stopped

    with ControlPlane(shop.folder) as plane, pytest.raises(Stopped):
        plane.rollback(on_step=stop)
    shop.plane("rollback")
    assert "amount_sum_2d" in columns(shop)
    assert shop.get(1) == OLD
    assert [one[1:] for one in versions(shop)] == [(3, True, True), (2, False, False)]


def test_there_is_nothing_to_go_back_to(shop):
    assert "no earlier deployment" in shop.fails("rollback")
    shop.plane("deploy")
    assert "no earlier deployment" in shop.fails("rollback")


def test_a_version_that_was_never_computed_is_not_shown(shop):
    shop.plane("deploy")
    shop.redefine(WIDER)
    shop.ready()
    shop.plane("rollback")
    assert "amount_sum_3d" in columns(shop)
    assert shop.get(1)["country"] == "NO"


def test_a_view_that_is_dropped_is_asked_for(shop):
    shop.define('"""Nothing."""\n')
    shop.plane("deploy")
    shop.redefine()
    shop.ready()
    assert "it drops spend" in shop.fails("rollback", "--json")
    assert shop.get(1) == OLD
    shop.plane("rollback", "--yes")
    assert shop.sql("FROM _plane.doors") == []


def test_only_versions_that_nobody_needs_are_removed(shop):
    redefined(shop)
    new, old = [fingerprint for fingerprint, *_ in versions(shop)]
    assert len(keys(shop, old)) == len(keys(shop, new)) == 3
    assert shop.plane("online", "clean", "--json").json == []
    [would] = shop.plane("online", "clean", "--keep", "0", "--dry-run", "--json").json
    assert (would["version"]["fingerprint"], would["keys"]) == (old, None)
    assert len(keys(shop, old)) == 3
    [gone] = shop.plane("online", "clean", "--keep", "0", "--json").json
    assert (gone["version"]["fingerprint"], gone["keys"]) == (old, 3)
    assert keys(shop, old) == []
    assert len(keys(shop, new)) == 3
    assert [one[0] for one in versions(shop)] == [new]
    assert shop.plane("online", "clean", "--keep", "0").out.startswith("Nothing to remove")
    # Going back is still possible: a run writes the values anew, and until then the newer ones are
    # served.
    shop.plane("rollback")
    assert versions(shop)[0][0] == new
    shop.plane("run")
    assert shop.get(1) == OLD
    assert len(keys(shop, old)) == 3


def test_a_removal_that_was_stopped_is_found_again_and_serves_nothing_half(shop):
    redefined(shop)
    _, old = [fingerprint for fingerprint, *_ in versions(shop)]
    with ControlPlane(shop.folder) as plane:
        store = plane.project.store
        assert store is not None

        class Stopped(Exception):
            """The removal ends here."""

        remove = store.remove

        class Dying:
            def remove(self, names):
                remove(names[:1])
                raise Stopped

            def __getattr__(self, name):
                return getattr(store, name)

        plane.project.__dict__["store"] = Dying()
        with pytest.raises(Stopped):
            plane.online.clean(keep=0)
        plane.project.__dict__["store"] = store
    assert len(keys(shop, old)) == 2
    assert len(versions(shop)) == 2
    shop.plane("rollback")
    # Half of the old version is there: it is not served before a run has written it whole.
    assert shop.get(1)["country"] == "NO"
    assert versions(shop)[0][3] is False
    shop.plane("run")
    assert shop.get(1) == OLD
    assert len(keys(shop, old)) == 3
