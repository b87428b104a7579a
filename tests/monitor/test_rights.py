"""Servers with users: the rights that the docs name suffice, each is needed, and the doctor names
gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from connectors.redis.store import connect
from controlplane.base.ports import RightsProbe
from controlplane.errors import PermanentError
from tests.codec.rows import Record, as_batch, value
from tests.servers import OpenServer
from tests.shop import Shop

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
PREFIX = b"shop.local:"


def documented() -> tuple[list[str], list[str]]:
    """The commands that the page names: what runs need, and what only upkeep does."""
    found = re.search(
        r"ACL SETUSER plane on >PASSWORD ~shop\.production:\*\n  (.*)\n  (.*)\n", PAGE.read_text()
    )
    assert found is not None
    return found[1].split(), found[2].split()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServer]:
    found = OpenServer(tmp_path_factory.mktemp("rights"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def grant(server: OpenServer) -> Iterator[Callable[..., None]]:
    """Gives the user `plane` these rights and no others."""
    with redis.Redis.from_url(server.url) as client:

        def call(*rules: str) -> None:
            client.execute_command("ACL", "SETUSER", "plane", "reset", "on", ">pw", *rules)

        yield call


def limited(make: Callable[..., Shop], server: OpenServer) -> Shop:
    """A project whose online store knows it as the user `plane`, in a database other than 0."""
    shop = make(online=server.url, extra={"STORE_PASSWORD": "pw"})
    user = 'username = "plane", password = "${STORE_PASSWORD}"'
    shop.resettle((f'url = "{server.url}"', f'url = "{server.url}/1", {user}'))
    return shop


def findings(shop: Shop, code: int) -> list[dict[str, str]]:
    found = shop.plane("doctor", "--json", code=code).json
    return [f for f in found if f["subject"] == "online store" and f["level"] != "ok"]


def test_what_the_page_names_suffices_for_all_commands(make, server, grant):
    """Deploys, runs, reads, upkeep and erasure; the doctor has nothing to say."""
    shop = limited(make, server)
    runs, upkeep = documented()
    grant(f"~{shop.name}.local:*", *runs)
    shop.ready()
    assert shop.get(1)
    shop.plane("run", "--resync")
    for command in (
        ("status",),
        ("verify", "--cases", "5"),
        ("forget", "--key", "user_id=2", "--yes"),
    ):
        shop.plane(*command)
    [lacking] = findings(shop, 0)
    assert (lacking["level"], lacking["hint"]) == (
        "warning",
        f"ACL SETUSER plane {' '.join(sorted(upkeep))}",
    )
    grant(f"~{shop.name}.local:*", *runs, *upkeep)
    shop.redefine(('windows=["1d"]', 'windows=["1d", "3d"]'))
    shop.ready()
    shop.plane("online", "verify", "--heal")
    shop.plane("online", "versions")
    shop.plane("online", "clean", "--keep", "0")
    assert findings(shop, 0) == []


def test_what_is_missing_is_one_line_that_grants_it(make, server, grant):
    """A right of runs is an error."""
    shop = limited(make, server)
    shop.plane("deploy", "--yes")
    runs, upkeep = documented()
    grant(f"~{shop.name}.local:*", *(set(runs) | set(upkeep)) - {"+evalsha", "+script|load"})
    [found] = findings(shop, 1)
    assert found["level"] == "error"
    assert found["message"] == "user 'plane' lacks rights that a run needs: +evalsha +script|load"
    assert found["hint"] == "ACL SETUSER plane +evalsha +script|load"
    grant("~elsewhere:*", *runs, *upkeep)
    [found] = findings(shop, 1)
    assert found["hint"] == f"ACL SETUSER plane ~{shop.name}.local:*"
    grant(f"~{shop.name}.local:*")
    [found] = findings(shop, 1)
    assert found["hint"] == "ACL SETUSER plane +select"


@pytest.mark.parametrize("rule", [rule for rules in documented() for rule in rules])
def test_every_right_is_needed_and_missed(server, grant, rule):
    """Without it something fails, and the probe names it, and it alone."""
    grant("~shop.local:*", *(set(documented()[0] + documented()[1]) - {rule}))
    store = connect(url=f"{server.url}/1", username="plane", password="pw", patience_seconds=0.1)
    assert isinstance(store, RightsProbe)
    rights = store.rights(PREFIX)
    assert (rights.user, rights.missing, rights.unknown) == ("plane", (rule,), ())
    refused = 0
    for act in (
        lambda: store.write([as_batch([Record(PREFIX + b"k", value(1, 1))])]),
        lambda: store.read([PREFIX + b"k"]),
        lambda: store.expiries([PREFIX + b"k"]),
        lambda: list(store.keys(PREFIX)),
        lambda: store.set_fields(PREFIX + b"h", {b"a": b"1"}),
        lambda: store.set_fields(PREFIX + b"h", {b"b": b"1"}, {b"a": b"1", b"c": None}),
        lambda: store.get_fields(PREFIX + b"h"),
        lambda: store.remove([PREFIX + b"k", PREFIX + b"h"]),
        store.info,
    ):
        try:
            act()
        except PermanentError:
            refused += 1
    assert refused
    store.close()


def test_trying_changes_nothing(server):
    with redis.Redis.from_url(server.url) as client:
        client.set("shop.local:k", "v")
        before = {key: client.dump(key) for key in client.keys("*")}
        store = connect(url=server.url)
        assert isinstance(store, RightsProbe)
        assert store.rights(PREFIX).missing == ()
        store.close()
        assert {key: client.dump(key) for key in client.keys("*")} == before


def test_a_reader_needs_less(make, server, grant):
    """The page lists the same rights for a user that only reads."""
    shop = limited(make, server)
    runs, _ = documented()
    grant(f"~{shop.name}.local:*", *runs)
    shop.ready()
    said = re.search(r"A user that only reads .* needs `([^`]*)`", PAGE.read_text())
    assert said is not None
    grant(f"~{shop.name}.local:*", *said[1].split())
    assert shop.get(1)
