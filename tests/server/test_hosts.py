"""Without API keys a server answers to its own names alone: a website's page may not read it
through a browser."""

from __future__ import annotations

import http.client
import socket

import pytest

from controlplane.server.hosts import Hosts
from tests.server.rig import Server
from tests.server.test_limits import REQUEST, connect

PATHS = ["/v1/services", "/openapi.json", "/docs", "/metrics", "/v1/services/shop"]


def status(server: Server, method: str, path: str, host: str, key: str | None = None) -> int:
    connection = server.connect()
    headers = {"Host": host} if key is None else {"Host": host, "Authorization": f"Bearer {key}"}
    connection.request(method, path, b'{"entities": []}' if method == "POST" else None, headers)
    answer: http.client.HTTPResponse = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_c5_another_name_is_not_answered_without_keys(served):
    """Case C5: a page whose name is made to resolve to loopback could read every feature."""
    port = served.url.rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost.evil.example",
        "10.1.2.3",
        "127.0.0.1.evil",
        "",
    ):
        assert {status(served, "GET", path, host) for path in PATHS} == {421}, host
        assert status(served, "POST", "/v1/services/shop", host) == 421
        assert status(served, "POST", "/get-online-features", host) == 421
        assert status(served, "POST", "/api/v1/feature-service/get-features", host) == 421
        assert (
            status(served, "GET", "/health/live", host)
            == status(served, "GET", "/health/ready", host)
            == 200
        )
    for host in (
        "localhost",
        f"LOCALHOST:{port}",
        "localhost.",
        "127.0.0.1",
        f"127.0.0.1:{port}",
        f"[::1]:{port}",
    ):
        assert status(served, "POST", "/v1/services/shop", host) == 200
        assert {status(served, "GET", path, host) for path in PATHS} == {200}, host
    answer = served.ask("GET", "/v1/services")
    assert answer.status == 200


def test_c5_a_second_host_is_looked_at_too_and_none_is_no_browsers(served):
    with connect(served) as raw:
        raw.sendall(
            REQUEST.replace(b"Host: localhost\r\n", b"Host: localhost\r\nHost: evil.example\r\n")
        )
        assert raw.recv(1024).startswith(b"HTTP/1.1 4")
    with connect(served) as raw:
        raw.sendall(REQUEST.replace(b"Host: localhost\r\n", b""))
        assert raw.recv(1024).startswith(b"HTTP/1.1 200 ")


def test_c5_names_that_are_allowed(shop, serve, tmp_path):
    shop.ready()
    server = serve(shop, "--allow-host", "Features.example", "--allow-host", "other.example")
    assert status(server, "GET", "/v1/services", "features.EXAMPLE:80") == 200
    assert status(server, "GET", "/v1/services", "other.example") == 200
    assert status(server, "GET", "/v1/services", "evil.example") == 421
    made = shop.plane("serve", "key", "--name", "a", "--service", "*")
    (tmp_path / "keys.toml").write_text(made.out)
    keyed = serve(shop, "--keys", str(tmp_path / "keys.toml"))  # a page has no key
    assert status(keyed, "GET", "/v1/services", "evil.example", key=made.err.split()[-1]) == 200


@pytest.mark.parametrize(
    ("host", "address", "answered"),
    [
        (b"192.0.2.7:8000", "192.0.2.7", True),
        (b"192.0.2.8:8000", "192.0.2.7", False),
        (b"[2001:db8::7]", "2001:db8::7", True),
        (b"[2001:DB8:0::7]:8000", "2001:db8::7", True),
        (b"2130706433", "127.0.0.1", False),
        (b"127.1", "127.0.0.1", False),
        (b"local\xff", "", False),
    ],
)
def test_an_address_is_answered_if_it_was_connected_to(host, address, answered):
    hosts = Hosts([])
    assert hosts.serve(host, address) is answered
    assert hosts.serve(host, address) is answered


def test_c5_an_address_that_a_server_listens_on(shop, serve):
    server = serve(shop.ready(), "--host", "0.0.0.0", "--without-keys")
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.2", port), timeout=20) as raw:
        raw.sendall(REQUEST.replace(b"localhost", b"127.0.0.2"))
        assert raw.recv(1024).startswith(b"HTTP/1.1 200 ")
