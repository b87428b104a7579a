"""Bodies that are wrong in every way: a clear refusal, no failure of the server, and no value in an
error or a log."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controlplane import FeatureClient
from controlplane.errors import PlaneError

SECRET = "s3cr3t"
OURS = "/v1/services/everything"
TECTON = "/api/v1/feature-service/get-features"
BATCH = f"{TECTON}-batch"
FEAST = "/get-online-features"
BODY = b'{"entities":[{"user_id":1,"tag":"a","day":"2024-01-02"}]}'
REQUEST = (
    f"POST {OURS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    + BODY
)
GOOD = {"user_id": 1, "tag": "a", "day": "2024-01-02"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_what_the_openapi_document_allows_is_answered_as_it_says(served):
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    asked = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.method != "post":
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=CHECKS)

        ask()
    assert asked > 20
    assert "error" not in {event["level"] for event in served.events}


@pytest.mark.parametrize(
    ("path", "body", "status", "field", "words"),
    [
        (OURS, b"", 400, "", "not valid JSON"),
        (OURS, b"\xff\x00", 400, "", "not valid JSON"),
        (OURS, b'{"entities": [{"a": ' + b"[" * 100_000, 400, "", "not valid JSON"),
        (OURS, b'{"entities": [{"tag": "\xff"}]}', 400, "", "not valid JSON"),
        (OURS, [], 400, "", "Expected `object`, got `array`"),
        (OURS, {}, 400, "", "missing required field `entities`"),
        (OURS, {"entities": GOOD}, 400, "entities", "Expected `array`, got `object`"),
        (OURS, {"entities": [SECRET]}, 400, "entities[0]", "Expected `object`, got `str`"),
        (OURS, {"entities": [GOOD, {"user_id": 1}]}, 400, "entities[1].tag", "is missing"),
        (OURS, {"entities": [GOOD | {"user_id": SECRET}]}, 400, "entities[0].user_id", "not of type int64"),
        (OURS, {"entities": [GOOD | {"user_id": 2**63}]}, 400, "entities[0].user_id", "not of type int64"),
        (OURS, {"entities": [GOOD | {"user_id": "9" * 5000}]}, 400, "entities[0].user_id", "not of type int64"),
        (OURS, {"entities": [GOOD | {"user_id": True}]}, 400, "entities[0].user_id", "not of type int64"),
        (OURS, {"entities": [GOOD | {"user_id": 1.0}]}, 400, "entities[0].user_id", "not of type int64"),
        (OURS, {"entities": [GOOD | {"tag": 7}]}, 400, "entities[0].tag", "not of type string"),
        (OURS, {"entities": [GOOD | {"day": SECRET}]}, 400, "entities[0].day", "not of type date"),
        (OURS, {"entities": [GOOD] * 1001}, 400, "", "at most 1000 entities"),
        (FEAST, {"entities": {}}, 400, None, "either `feature_service` or `features`"),
        (FEAST, {"entities": {}, "features": []}, 400, None, "either `feature_service` or `features`"),
        (FEAST, {"entities": {}, "features": [SECRET]}, 404, None, "has all of these features"),
        ("/v1/services/priced", {"entities": [{"user_id": 1}]}, 400, "entities[0].price", "is missing"),
        ("/v1/services/priced", {"entities": [{"user_id": 1, "price": None}]}, 400, "entities[0].price", "decimal"),
        ("/v1/services/priced", {"entities": [{"user_id": 1, "price": "1e9"}]}, 400, "entities[0].price", "decimal"),
        (f"/v1/services/{SECRET}", {"entities": []}, 404, "", "no such feature service"),
        ("/v1/services/", {"entities": []}, 404, "", "no such path"),
        (TECTON, {"params": {}}, 400, None, "featureServiceName"),
        (TECTON, {"params": {"featureServiceName": 7}}, 400, None, "Expected `str`, got `int`"),
        (TECTON, {"params": {"featureServiceName": SECRET}}, 404, None, "no such feature service"),
        (TECTON, {"params": {"featureServiceName": "shop", "joinKeyMap": {}}}, 400, None, "joinKeyMap.user_id"),
        (BATCH, {"params": {"featureServiceName": "shop", "requestData": [7]}}, 400, None, "Expected `object`"),
        (FEAST, {"feature_service": "shop", "entities": {"user_id": 7}}, 400, None, "Expected `array`"),
        (FEAST, {"feature_service": "shop", "entities": {"user_id": [SECRET]}}, 400, None, "entities.user_id[0]"),
        (FEAST, {"feature_service": "shop", "entities": {"user_id": [1], "x": []}}, 400, None, "different lengths"),
        (FEAST, {"feature_service": SECRET, "entities": {"user_id": [1] * 1001}}, 400, None, "at most 1000 entities"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_told_without_its_values(served, path, body, status, field, words):
    answer = served.post(path, body)
    text = answer.body.decode()
    assert (answer.status, words in text) == (status, True), text
    assert SECRET not in text + served.log
    if field is not None:
        assert answer.json["error"]["field"] == field


@pytest.mark.parametrize(
    "number", ["1_0", " 1", "1 ", "+1", "１", "1e0", "1.0", "", "0x1", "1\n", "--1", "-"]
)
def test_a11_an_integer_is_its_digits_alone(served, number):
    """Case A11: `1_0` answered user 10, and ` 1` and `+1` answered user 1. In every shape of
    requests."""
    asked = [
        (OURS, {"entities": [GOOD | {"user_id": number}]}, "entities[0].user_id"),
        (
            TECTON,
            {"params": {"featureServiceName": "shop", "joinKeyMap": {"user_id": number}}},
            "joinKeyMap.user_id",
        ),
        (
            BATCH,
            {
                "params": {
                    "featureServiceName": "shop",
                    "requestData": [{"joinKeyMap": {"user_id": number}}],
                }
            },
            "joinKeyMap.user_id",
        ),
        (
            FEAST,
            {"feature_service": "shop", "entities": {"user_id": [number]}},
            "entities.user_id[0]",
        ),
    ]
    for path, body, field in asked:
        answer = served.post(path, body)
        assert answer.status == 400, path
        assert f"{field} is not of type int64" in answer.body.decode()
    client = FeatureClient(served.project.folder)
    with pytest.raises(PlaneError, match="int64"):
        client.get("shop", {"user_id": number})
    client.close()
    assert "int64" in served.project.fails("get", "shop", "--key", f"user_id={number}")


@pytest.mark.parametrize(
    "price", [" 1_0.5 ", "1_0", "+1", "1e1", ".5", "1.", "NaN", "１", 1.5, "1.555"]
)
def test_a11_a_decimal_is_its_digits_alone(served, price):
    answer = served.post("/v1/services/priced", {"entities": [{"user_id": 1, "price": price}]})
    assert answer.status == 400
    assert answer.json["error"]["field"] == "entities[0].price"
    assert "the digits of a decimal(8,2)" in answer.json["error"]["hint"]
    options = ("--key", "user_id=1", "--request")
    if isinstance(price, str):
        assert "price" in served.project.fails("get", "priced", *options, f"price={price}")


@pytest.mark.parametrize(
    "day", ["20240102", "2024-W01-2", "2024-01-02T00:00", "2024-1-2", 1704153600]
)
def test_a11_a_date_has_one_form(served, day):
    answer = served.post(OURS, {"entities": [GOOD | {"day": day}]})
    assert (answer.status, answer.json["error"]["field"]) == (400, "entities[0].day")


def test_random_bodies_do_no_harm(served):
    chance = random.Random(7)
    good = json.dumps({"entities": [GOOD]}).encode()
    connection = served.connect()
    statuses = set()
    for number in range(600):
        body = bytearray(good if number % 2 else chance.randbytes(chance.randrange(80)))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(body) + 1)
            body[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        path = chance.choice([OURS, TECTON, BATCH, FEAST])
        statuses.add(served.post(path, bytes(body), over=connection).status)
    connection.close()
    assert statuses == {200, 400}
    assert served.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", OURS, 405), ("DELETE", TECTON, 405), ("GET", FEAST, 405), ("POST", "/metrics", 405), ("GET", "/", 404),
        ("POST", "/", 404), ("GET", "/v1/services/none", 404), ("HEAD", "/health/live", 200), ("GET", "/metrics", 200),
    ],
)  # fmt: skip
def test_methods_and_paths(served, method, path, status):
    answer = served.ask(method, path)
    assert answer.status == status
    assert ("allow" in answer.headers) == (status == 405)


def test_a_long_body_is_refused_before_it_is_read(served):
    assert served.post(OURS, b" " * 1_000_001).status == 413
    assert served.post(OURS, {"entities": [GOOD | {"more": "x" * 900_000}]}).status == 200
    host, port = urlsplit(served.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(
            f"POST {OURS} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(11):
            raw.sendall(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")


def test_bytes_that_are_no_request(served):
    host, port = urlsplit(served.url).netloc.split(":")
    chance = random.Random(8)
    for _ in range(30):
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            raw.sendall(chance.randbytes(200) + b"\r\n\r\n")
            assert not raw.recv(1000).startswith(b"HTTP/1.1 5")
    with socket.create_connection(
        (host, int(port)), timeout=30
    ) as raw:  # gone in the middle of its body
        raw.sendall(
            f"POST {OURS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
    assert served.count() == 1
    assert "exception" not in served.log
    assert "Invalid HTTP" not in served.log
    assert (
        b'plane_connections_refused_total{reason="not_http"}' in served.ask("GET", "/metrics").body
    )


def test_who_asks_may_go_without_a_word(served):
    host, port = urlsplit(served.url).netloc.split(":")
    before = len(served.events)
    for wait in (0, 0.0005, 0.001, 0.002):
        for _ in range(50):
            raw = socket.create_connection((host, int(port)), timeout=30)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sendall(REQUEST)
            time.sleep(wait)
            raw.close()  # a reset: the server finds the connection lost at any point of its work
    assert served.count() == 1
    assert {event["event"] for event in served.events[before:]} == {"request"}


def test_an_answer_is_sent_in_one_piece(served):
    host, port = urlsplit(served.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        for _ in range(20):
            raw.sendall(REQUEST)
            head, _, body = raw.recv(100_000).partition(b"\r\n\r\n")
            assert b"content-length: %d" % len(body) in head
        told = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        assert struct.unpack_from("I", told, 152) == (20,)  # tcpi_data_segs_in of linux/tcp.h
        raw.sendall(REQUEST * 3)  # of several that come at once, each is answered
        found = b""
        while found.count(b"HTTP/1.1 200 OK") < 3 or not found.endswith(b"}]}"):
            found += raw.recv(100_000)


def test_the_log_has_no_values(served):
    served.post(OURS, {"entities": [GOOD | {"tag": SECRET}]})
    assert SECRET not in served.log
    requests = [event for event in served.events if event["event"] == "request"]
    assert requests[-1] | {"milliseconds": 0, "time": "", "process": 0} == {
        "event": "request", "level": "info", "service": "everything", "api": "plane", "code": 200, "entities": 1,
        "key": "", "milliseconds": 0, "time": "", "process": 0,
    }  # fmt: skip
