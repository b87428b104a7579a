"""The three shapes against golden answers: every type, nulls, keys that are not there, statuses and
times."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.server.feast import Feast
from controlplane.server.refused import Refused
from controlplane.server.shapes import Call
from controlplane.serving import FeatureVectors

FOUND = {"user_id": 1, "tag": "a b", "day": "2024-01-02"}
NULLS = {"user_id": "2", "tag": "null", "day": "2024-01-02"}
NOBODY = {"user_id": None, "tag": "a", "day": "2024-01-02"}
VALUES = {
    "spend__count_1d": 1,
    "spend__amount_sum_2d": 30,
    "spend__country": "NO",
    "fact__price": "12.50",
    "fact__seen": "2024-01-01T00:00:00.500000Z",
    "fact__born": "1999-12-31",
    "fact__ok": True,
    "fact__raw": "aGk=",
    "fact__ratio": None,  # NaN, which JSON does not have
    "fact__names": ["x", None],
    "fact__big": 9007199254740993,
}
NAMES = list(VALUES)
FACTS = [name for name in NAMES if name.startswith("fact")]
EMPTY = dict.fromkeys(NAMES) | {"spend__count_1d": 0}
TODAY, THEN = "2024-01-05T00:00:00Z", "2024-01-03T00:00:00Z"
TIMES = {name: THEN if name in FACTS else TODAY for name in NAMES}
SPENT = {"spend__count_1d": 0, "spend__amount_sum_2d": None, "spend__country": "FR"}


def test_our_own(served):
    answer = served.post("/v1/services/everything", {"entities": [FOUND, NULLS, NOBODY]})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found, nulls, nobody = answer.json["vectors"]
    assert answer.json["service"] == "everything"
    assert list(found["features"]) == NAMES
    assert found == {
        "features": VALUES,
        "statuses": dict.fromkeys(NAMES, "present") | {"fact__ratio": "present"},
        "effective_times": TIMES,
    }
    assert nulls["features"] == EMPTY | SPENT
    assert nulls["statuses"] == dict.fromkeys(NAMES, "null") | {
        "spend__count_1d": "present",
        "spend__country": "present",
    }
    assert nobody == {
        "features": EMPTY,
        "statuses": dict.fromkeys(NAMES, "missing"),
        "effective_times": dict.fromkeys(NAMES),
    }
    assert served.post("/v1/services/everything", {"entities": []}).json["vectors"] == []


TECTON = {
    "spend__count_1d": "int64",
    "spend__amount_sum_2d": "int64",
    "spend__country": "string",
    "fact__price": "string",
    "fact__seen": "timestamp",
    "fact__born": "string",
    "fact__ok": "boolean",
    "fact__raw": "string",
    "fact__ratio": "float64",
    "fact__big": "int64",
}
DIGITS = [str(value) if TECTON.get(name) == "int64" else value for name, value in VALUES.items()]
KEYS = {**FOUND, "user_id": "1"}


@pytest.mark.parametrize("snake", [False, True])
def test_tecton(served, snake):
    params = {
        "featureServiceName": "everything",
        "workspaceName": "prod",
        "joinKeyMap": KEYS,
        "metadataOptions": {
            "includeNames": True,
            "includeEffectiveTimes": True,
            "includeDataTypes": True,
            "includeServingStatus": True,
        },
    }
    if snake:  # as their Python client writes it
        options = {
            "include_names": True,
            "include_data_types": True,
            "include_serving_status": True,
        }
        params = {
            "feature_service_name": "everything",
            "join_key_map": KEYS,
            "metadata_options": options,
        }
    answer = served.post("/api/v1/feature-service/get-features", {"params": params})
    assert answer.status == 200
    assert answer.json["result"] == {"features": DIGITS}
    items = answer.json["metadata"]["features"]
    assert [item["name"] for item in items] == [name.replace("__", ".", 1) for name in NAMES]
    assert {item["status"] for item in items} == {"PRESENT"}
    assert [item.get("effectiveTime") for item in items] == [
        None if snake else TIMES[name] for name in NAMES
    ]
    types = [item["dataType"] for item in items]
    strings = {"type": "array", "elementType": {"type": "string"}}
    assert types == [{"type": TECTON[name]} if name in TECTON else strings for name in NAMES]


def test_tecton_in_batches(served):
    rows = [{"joinKeyMap": KEYS}, {"joinKeyMap": NOBODY, "requestContextMap": {}}]
    params = {
        "featureServiceName": "everything",
        "requestData": rows,
        "metadataOptions": {"includeNames": True, "includeServingStatus": True},
    }
    answer = served.post("/api/v1/feature-service/get-features-batch", {"params": params}).json
    assert answer["result"] == [
        {"features": DIGITS},
        {"features": ["0", *[None] * (len(NAMES) - 1)]},
    ]
    assert answer["metadata"]["features"][0] == {
        "name": "spend.count_1d",
        "status": ["PRESENT", "MISSING_DATA"],
    }


@pytest.mark.parametrize("full", [False, True])
def test_feast(served, full):
    columns = {name: [FOUND[name], NULLS[name], NOBODY[name]] for name in FOUND}
    body = {"feature_service": "everything", "entities": columns, "full_feature_names": full}
    answer = served.post("/get-online-features", body).json
    names = NAMES if full else [name.partition("__")[2] for name in NAMES]
    assert answer["metadata"] == {"feature_names": [*columns, *names]}
    by_name = dict(zip([*columns, *NAMES], answer["results"], strict=True))
    epoch = "1970-01-01T00:00:00Z"
    assert by_name["tag"] == {
        "values": columns["tag"], "statuses": ["PRESENT"] * 3, "event_timestamps": [epoch] * 3,
    }  # fmt: skip
    assert by_name["fact__price"] == {
        "values": ["12.50", None, None],
        "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
        "event_timestamps": [THEN, THEN, epoch],
    }
    assert by_name["spend__country"]["values"] == ["NO", "FR", None]


def test_feast_by_features(served):
    columns = {name: [FOUND[name], NOBODY[name]] for name in FOUND}
    asked = {"features": ["fact:price", "spend:country"], "entities": columns}
    answer = served.post("/get-online-features", asked).json
    assert answer["metadata"] == {"feature_names": [*columns, "price", "country"]}
    assert [result["values"] for result in answer["results"][len(columns) :]] == [
        ["12.50", None],
        ["NO", None],
    ]
    # Of the services that have it, one that needs no more than is given.
    alone = {
        "features": ["spend:country"],
        "entities": {"user_id": [1]},
        "full_feature_names": True,
    }
    answer = served.post("/get-online-features", alone).json
    assert answer["metadata"] == {"feature_names": ["user_id", "spend__country"]}
    assert [result["values"] for result in answer["results"]] == [[1], ["NO"]]


@pytest.mark.parametrize(
    "names", [["a__number", "b__number"], ["a__number", "number"], ["a__user_id"]]
)
def test_feast_has_no_short_names_that_mean_two_things(names):
    inputs = SimpleNamespace(keys={"user_id": "int64"})
    service: Any = SimpleNamespace(types=dict.fromkeys(names, "int64"), inputs=inputs)
    nobody = FeatureVectors(service.types, 1, [])
    columns: dict[str, list[int]] = {"user_id": []}
    short, full = (
        SimpleNamespace(entities=columns, full_feature_names=full) for full in (False, True)
    )
    with pytest.raises(Refused, match="not unique") as refused:
        Feast().write(Call("any", [], "", short), service, nobody)
    assert (refused.value.status, refused.value.field) == (400, "full_feature_names")
    told = json.loads(Feast().write(Call("any", [], "", full), service, nobody))
    assert told["metadata"]["feature_names"] == ["user_id", *names]


def test_what_is_served_is_told(served):
    assert served.ask("GET", "/v1/services").json == {"services": ["everything", "priced", "shop"]}
    told = served.ask("GET", "/v1/services/everything").json
    assert told["keys"] == {"user_id": "int64", "tag": "string", "day": "date"}
    assert list(told["features"]) == NAMES
    assert told["features"]["fact__names"] == "array<string>"
    assert set(told["versions"]) == {"spend", "fact"}
    page = served.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST /v1/services/everything" in page.body.decode()
    assert "entities[].user_id" in page.body.decode()


def test_what_a_request_gives(served):
    entities = [{"user_id": 1, "price": "7.50", "code": "12"}, {"user_id": 9, "price": 3}]
    found = served.post("/v1/services/priced", {"entities": entities}).json["vectors"]
    assert [vector["features"]["rate"] for vector in found] == [0.25, None]
    assert [vector["features"]["number"] for vector in found] == [12, None]
    params = {
        "featureServiceName": "priced",
        "joinKeyMap": {"user_id": "1"},
        "requestContextMap": {"price": "7.50"},
        "metadataOptions": {"includeNames": True},
    }
    tecton = served.post("/api/v1/feature-service/get-features", {"params": params}).json
    assert tecton["result"]["features"][-2:] == [0.25, None]
    assert tecton["metadata"]["features"][-1] == {"name": "number.number"}
    body = {
        "feature_service": "priced",
        "entities": {"user_id": [1]},
        "request_context": {"price": ["7.50"]},
    }
    assert served.post("/get-online-features", body).json["results"][-2]["values"] == [0.25]
    secret = served.post(
        "/v1/services/priced", {"entities": [{"user_id": 1, "price": 1, "code": "s3cr3t"}]}
    )
    assert (secret.status, secret.json["error"]["code"]) == (422, "calculation_failed")
    assert "s3cr3t" not in secret.body.decode() + served.log
