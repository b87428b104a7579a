"""What goes on while the server runs: a deploy, a store that goes and comes, changed keys, a spent
budget, an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane import FeatureClient
from controlplane.server.app import App, Options, create
from controlplane.server.keys import Keyring
from tests.server.rig import Server
from tests.servers import OpenServer
from tests.shop import until

TEN_TIMES = ("amount, country FROM", "amount * 10 AS amount, country FROM")
ASKED = {"entities": [{"user_id": 1}]}


@contextmanager
def asking(server: Server) -> Iterator[list[tuple[int, Any]]]:
    """Asks all the while, over a connection that stays; the statuses and sums that came."""
    found: list[tuple[int, Any]] = []
    over = threading.Event()

    def ask() -> None:
        connection = server.connect()
        while not over.is_set():
            answer = server.post("/v1/services/shop", ASKED, over=connection)
            json = answer.json
            found.append(
                (
                    answer.status,
                    "vectors" in json and json["vectors"][0]["features"]["spend__amount_sum_2d"],
                )
            )
            time.sleep(0.002)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


async def told(
    app: App, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> int:
    """The status of an answer to a request whose body never comes."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return await asyncio.Future()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
    status: int = sent[0]["status"]
    return status


def test_a_deploy_is_seen_and_a_version_flips_while_requests_go_on(shop, serve):
    server = serve(shop.ready())
    client = FeatureClient(shop.folder)  # lives as long, and sees what is deployed after it
    assert client.get("shop", {"user_id": 1})["spend__amount_sum_2d"] == 30
    with asking(server) as found:
        until(lambda: found)
        shop.redefine(TEN_TIMES)
        shop.plane("deploy", "--yes")
        until(lambda: sum(event["event"] == "services_loaded" for event in server.events) == 3)
        time.sleep(0.3)
        assert set(found) == {(200, 30)}  # the new version is deployed, and not complete
        shop.plane("run")
        until(lambda: found[-1] == (200, 300))
    assert set(found) == {(200, 30), (200, 300)}
    assert found == sorted(found)
    assert "versions_served" in server.log
    until(lambda: client.get("shop", {"user_id": 1})["spend__amount_sum_2d"] == 300)
    client.close()
    shop.define("", file="more.py")
    shop.redefine(TEN_TIMES, ('FeatureService("shop"', 'FeatureService("other"'))
    shop.plane("deploy", "--yes")
    until(lambda: server.ask("GET", "/v1/services").json == {"services": ["other"]})
    assert server.post("/v1/services/shop", ASKED).status == 404
    assert server.post("/v1/services/other", ASKED).status == 200


def test_a_store_that_goes_and_comes(make, serve, tmp_path):
    store = OpenServer(tmp_path / "store")
    shop = make(online=store.start()).ready()
    server = serve(shop)
    assert server.ask("GET", "/health/ready").status == 200
    try:
        with asking(server) as found:
            until(lambda: found)
            store.stop()
            until(lambda: found[-1][0] == 503)
            refused = server.post("/v1/services/shop", ASKED)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.json["error"]["code"] == "store_unavailable"
            assert server.ask("GET", "/health/live").status == 200
            ready = server.ask("GET", "/health/ready")
            assert (ready.status, ready.headers["retry-after"]) == (503, "1")
            store.start()
            until(lambda: found[-1] == (200, 30))
        assert set(found) == {(200, 30), (503, False)}
        assert server.ask("GET", "/health/ready").status == 200
        metrics = server.ask("GET", "/metrics").body.decode()
        assert 'plane_requests_total{api="plane",code="503",service="shop"}' in metrics
        assert 'plane_rows_total{service="shop",status="present"}' in metrics
        until(lambda: server.count() == 1 and "store_recovered" in server.log)
        said = [event["event"] for event in server.events]
        assert (said.count("store_failed"), said.count("store_recovered")) == (1, 1)
        store.stop()
        late = serve(shop)  # started without its store
        assert late.post("/v1/services/shop", ASKED).status == 503
        for path in ("/v1/services", "/openapi.json", "/docs"):
            unknown = late.ask("GET", path)
            assert (unknown.status, unknown.headers["retry-after"]) == (503, "1")
        store.start()
        until(lambda: late.post("/v1/services/shop", ASKED).status == 200)
    finally:
        store.stop()


def test_a_budget(shop, serve):
    server = serve(shop.ready(), "--budget-ms", "50")
    assert server.count() == 1
    with shop.client() as client:
        client.client_pause(400)
        late = server.post("/v1/services/shop", ASKED)
    assert (late.status, late.headers["retry-after"], late.json["error"]["code"]) == (
        504,
        "1",
        "budget_exceeded",
    )
    until(lambda: server.post("/v1/services/shop", ASKED).status == 200)


def test_keys(shop, serve, tmp_path):
    file = tmp_path / "keys.toml"
    made = [
        shop.plane("serve", "key", "--name", "a", "--service", one, "--json").json
        for one in ("shop", "other", "*")
    ]
    one, other, both = (found["key"] for found in made)
    entry = (
        '[[key]]\nname = "{name}"\nid = "{id}"\ndigest = "{digest}"\nservices = ["{services[0]}"]\n'
    )
    file.write_text(
        "".join(entry.format(name=name, **found) for name, found in zip("abc", made, strict=True))
    )
    server = serve(shop.ready(), "--keys", str(file), "--access-log", "--max-entities", "7")
    forged = one[:-1] + ("A" if one[-1] != "A" else "B")
    for key in (None, "", "plane_00000000_", forged, one.replace(made[0]["id"], made[1]["id"])):
        refused = server.post("/v1/services/shop", ASKED, key=key)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert server.post("/v1/services/shop", ASKED, key=other).status == 403
    # Not even whether it is there.
    assert server.post("/v1/services/none", ASKED, key=other).status == 403
    assert server.count(key=one) == server.count(key=both) == 1
    assert server.ask("GET", "/v1/services", key=other).json == {"services": []}
    assert server.ask("GET", "/openapi.json").status == 401
    described, nothing = (server.ask("GET", "/openapi.json", key=key).json for key in (one, other))
    assert "securitySchemes" in described["components"]
    body = described["paths"]["/v1/services/shop"]["post"]["requestBody"]["content"][
        "application/json"
    ]["schema"]
    assert body["properties"]["entities"]["maxItems"] == 7
    assert list(nothing["paths"]) == ["/health/live", "/health/ready"]
    assert b"/v1/services/shop" not in server.ask("GET", "/docs", key=other).body
    assert (
        server.ask("GET", "/health/live").status == server.ask("GET", "/health/ready").status == 200
    )
    assert server.ask("GET", "/metrics").status == 401  # case C6: it tells the names of services
    seen, partly, unseen = (server.ask("GET", "/metrics", key=key) for key in (both, one, other))
    assert {seen.status, partly.status, unseen.status} == {200}
    assert b'service="shop"' in seen.body
    assert b'service="shop"' in partly.body
    assert b"shop" not in unseen.body
    assert b"plane_deployment" in unseen.body
    assert {event["key"] for event in server.events if event.get("code") == 200} == {"a", "c"}
    file.write_text("no TOML")
    until(lambda: "keys_failed" in server.log)
    assert server.count(key=one) == 1
    file.write_text(entry.format(name="b", **made[1]))
    until(lambda: server.post("/v1/services/shop", ASKED, key=one).status == 401)
    assert not [key for key in (one, other, both, forged) if key in server.log]


def test_a_key_that_is_revoked_while_the_server_starts(shop, tmp_path):
    made = shop.plane("serve", "key", "--name", "a", "--service", "*", "--json").json
    file = tmp_path / "keys.toml"
    file.write_text(
        f'[[key]]\nname = "a"\nid = "{made["id"]}"\ndigest = "{made["digest"]}"\nservices = ["*"]\n'
    )
    app = create(Options(shop.folder, keys=file))
    file.write_text("")

    async def ask() -> int:
        watch = asyncio.create_task(app._watch())
        await asyncio.sleep(0)
        answer = await told(
            app, "GET", "/v1/services", [(b"authorization", f"Bearer {made['key']}".encode())]
        )
        watch.cancel()
        return answer

    assert asyncio.run(ask()) == 401


def test_a_body_that_does_not_come_is_not_waited_for(shop):
    app = create(Options(shop.folder, upload_seconds=0.05))
    assert asyncio.run(asyncio.wait_for(told(app, "POST", "/v1/services/shop"), 10)) == 408


def test_a_key_and_its_entry_are_apart(shop):
    done = shop.plane("serve", "key", "--name", "ranking", "-s", "shop", "-s", "other")
    assert done.err.startswith("key (shown once): plane_")
    assert done.out.startswith('[[key]]\nname = "ranking"\nid = "')
    assert 'services = ["shop", "other"]' in done.out
    assert done.err.split()[-1] not in done.out


@pytest.mark.parametrize(
    "name", ["a\x01b", "a\x7f", 'a"', "a\\", "a\nb", "a\rb", "a\tb", "\udcff", 'a", services = ["*']
)
def test_c6_a_key_that_the_server_would_refuse_is_not_made(shop, name):
    """Case C6: a name with a control character made a file that `serve` refused."""
    for options in (("--name", name, "-s", "shop"), ("--name", "a", "-s", name)):
        for more in ((), ("--json",)):
            said = shop.fails("serve", "key", *options, *more)
            assert "a control character" in said
            assert "plane_" not in said


@pytest.mark.parametrize("name", ["a b", "日本", "#", "'", "["])
def test_a_key_that_is_made_is_read(shop, tmp_path, name):
    file = tmp_path / "keys.toml"
    made = shop.plane("serve", "key", "--name", name, "-s", "shop", "-s", name)
    file.write_text(made.out, encoding="utf-8")
    found = Keyring(file).find(f"Bearer {made.err.split()[-1]}".encode())
    assert found is not None
    assert (found.name, found.services) == (name, ("shop", name))


def test_what_keeps_a_server_from_starting(shop, tmp_path):
    assert "nothing is deployed" in shop.fails("serve", "--port", "0")
    open_to_all = shop.fails("serve", "--host", "0.0.0.0")
    assert "could read every feature" in open_to_all
    assert "--without-keys" in open_to_all
    (tmp_path / "keys.toml").write_text('[[key]]\nname = "a"\n')
    shop.ready()
    assert "file of API keys is wrong" in shop.fails(
        "serve", "--port", "0", "--keys", str(tmp_path / "keys.toml")
    )
    assert "can't be read" in shop.fails(
        "serve", "--port", "0", "--keys", str(tmp_path / "none.toml")
    )


def test_a_store_that_refuses_the_user_is_an_error_before_it_serves(shop):
    """Serving was announced first, and the exit code was the server library's own, 3."""
    shop.ready()
    shop.extra["SHOP_PASSWORD"] = "wrong-secret"
    shop.resettle(
        (f'url = "{shop.online}"', f'url = "{shop.online}", password = "${{SHOP_PASSWORD}}"')
    )
    said = shop.fails("serve", "--port", "0")
    assert "serving on" not in said
    assert "\nerror: the online store at " in said
    assert "wrong-secret" not in said


def test_it_ends_when_requests_are_answered_and_its_port_is_its_own(shop, serve):
    server = serve(shop.ready())
    port = server.url.rpartition(":")[2]
    assert f"can't listen on 127.0.0.1 port {port}" in shop.fails("serve", "--port", port)
    with shop.client() as client:
        connection = server.connect()
        server.count(over=connection)
        client.client_pause(400)
        connection.request("POST", "/v1/services/shop", b'{"entities": [{"user_id": 1}]}')
        time.sleep(0.1)
        server.running.process.terminate()
        assert connection.getresponse().status == 200
        connection.close()
    assert server.stop() == 0
    assert [event["event"] for event in server.events][-2:] == ["worker_stopped", "stopped"]


@pytest.mark.parametrize("workers", [2])
def test_workers_share_a_port_and_their_counts(shop, serve, workers):
    server = serve(shop.ready(), "--workers", str(workers), "--access-log")
    until(lambda: server.log.count('"worker_started"') == workers)
    until(
        lambda: (
            server.count() == 1
            and len({e["process"] for e in server.events if e["event"] == "request"}) > 1
        )
    )
    asked = sum(event["event"] == "request" for event in server.events)
    count = f'plane_requests_total{{api="plane",code="200",service="shop"}} {asked}.0'
    until(lambda: count in server.ask("GET", "/metrics").body.decode())
    assert server.stop() == 0
