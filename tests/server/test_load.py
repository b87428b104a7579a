"""The load test that users run."""

from __future__ import annotations

import socket
import threading

import pytest

from controlplane.errors import PlaneError, TransientError
from controlplane.server.load import measure

ENTITIES = '[{"user_id": 1}, {"user_id": 2}, {"user_id": 3}]'


def bench(served, *more, entities=ENTITIES, service="shop"):
    return (
        "bench",
        "serve",
        served.url,
        "-s",
        service,
        "--entities",
        entities,
        "--duration",
        "0.3",
        *more,
    )


def test_it_counts_and_times_answers(served, tmp_path):
    file = tmp_path / "entities.json"
    file.write_text(ENTITIES)
    before = len(served.events)
    found = served.project.plane(*bench(served, "--batch", "5", "--json", entities=str(file))).json
    assert found["codes"] == {"200": found["requests"]}
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"]
    requests = [event for event in served.events[before:] if event["event"] == "request"]
    assert {event["entities"] for event in requests} == {5}
    assert len(requests) == found["requests"]
    shown = served.project.plane(*bench(served)).out
    assert "responses per second\np50 " in shown
    assert "ms  ###" in shown


def test_what_is_wrong_is_told(served):
    refused = served.project.plane(*bench(served, service="none"), code=1)
    assert "0 responses per second" in refused.out
    assert "statuses: 404: " in refused.out
    fails = served.project.fails
    assert "not a JSON list" in fails(*bench(served, entities="[1]"))
    assert "no entities to request" in fails(*bench(served, entities="[]"))
    assert "can't be read" in fails(*bench(served, entities="none.json"))
    assert "can't be reached" in fails(
        "bench", "serve", "http://127.0.0.1:1", "-s", "a", "--entities", '[{"a": 1}]'
    )
    for url in ("ftp://a", "http://[::1", "http://a:b", "http://a:99999"):
        assert "not the URL of a server" in fails(
            "bench", "serve", url, "-s", "a", "--entities", '[{"a": 1}]'
        )


def test_a_server_that_never_answers_is_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TransientError, match="does not answer within"):
            measure(url, "shop", [{"user_id": 1}], concurrency=2, seconds=0.1, patience=0.1)


def test_a_server_of_another_protocol_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.recv(1)
                accepted.sendall(b"220 mail.example ready\r\n\r\n")

        threading.Thread(target=greet).start()
        with pytest.raises(PlaneError, match="does not speak HTTP"):
            measure(
                f"http://127.0.0.1:{server.getsockname()[1]}",
                "shop",
                [{"user_id": 1}],
                concurrency=1,
            )
