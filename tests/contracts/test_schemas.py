"""What a contract says in other languages is what is served, and each text is right in its
language."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema
import msgspec
import pyarrow as pa
import pytest
from google.protobuf import json_format, message_factory

from connectors.duckdb.calculator import prepare
from connectors.redis.store import connect
from controlplane import RequestSource
from controlplane.base.types import from_micros
from controlplane.codec.arrow import arrow_type
from controlplane.errors import PlaneError
from controlplane.online import syncing
from controlplane.server.services import Served
from controlplane.server.shapes import Call, NamedMap
from controlplane.serving import FeatureVectors, OnlineReader, ServiceReader, contracts
from controlplane.serving.service import service_layout
from tests.contracts.contracts import GENERATED, every_type, texts
from tests.contracts.proto_text import loaded
from tests.engine import cases
from tests.engine.rig import Rig, compiled
from tests.serving.test_realtime import CALCULATED
from tests.serving.test_requests import AT, EVERY_TYPE, START, requests, rows, subject

KEYS: list[dict[str, Any]] = [
    *({"k": f"k{number}"} for number in range(20)),
    {"k": "nobody"},
    {"k": None},
]


@pytest.fixture(scope="module")
def contract() -> contracts.Contract:
    return contracts.contract(every_type(), "all")


@pytest.fixture(scope="module")
def answered(valkey_url: str) -> Iterator[tuple[Served, FeatureVectors]]:
    with Rig(
        subject, cases.COLUMNS, rows=rows(20), calculations=CALCULATED, request=EVERY_TYPE
    ) as rig:
        rig.materialize(START, AT)
        store = connect(url=valkey_url)
        syncing.sync(
            rig.program,
            rig.warehouse,
            store,
            rig.sql["sync"],
            clock=lambda: datetime.now(UTC),
            full=True,
        )
        layout = service_layout(rig.manifest, "all")
        assert layout.calculations is not None
        calculator = prepare(
            query=layout.calculations.query, functions=layout.calculations.functions
        )
        reader = OnlineReader(store, layout, lambda: from_micros(AT), calculator=calculator)
        served = Served(
            rig.manifest.services[0],
            ServiceReader(layout, lambda: from_micros(AT), calculator=calculator),
        )
        yield served, reader.get(KEYS, requests(len(KEYS)))
        calculator.close()
        store.close()


def test_they_are_as_they_were() -> None:
    assert texts() == {
        path.name: path.read_text(encoding="utf-8")
        for path in GENERATED.iterdir()
        if path.is_file()
    }


def test_json_schema_is_of_what_is_answered(
    contract: contracts.Contract, answered: tuple[Served, FeatureVectors]
) -> None:
    document = msgspec.json.decode(contracts.text(contract, "json-schema"))
    jsonschema.Draft202012Validator.check_schema(document)
    served, vectors = answered
    answer = msgspec.json.decode(NamedMap().write(Call("all", [], ""), served, vectors))
    response = jsonschema.Draft202012Validator(
        {**document, "anyOf": [{"$ref": "#/$defs/response"}]}
    )
    response.validate(answer)
    del answer["vectors"][3]["features"]["risk"]
    assert not response.is_valid(answer)
    request = jsonschema.Draft202012Validator({**document, "anyOf": [{"$ref": "#/$defs/request"}]})
    request.validate(
        {
            "entities": [
                {"k": "a", "amount": 1.5},
                {"k": None, "amount": 2, "r_i": None, "tags": ["a"]},
            ]
        }
    )
    for wrong in ({"k": "a"}, {"k": 1, "amount": 1}, {"amount": 1}, {"k": "a", "amount": None}):
        assert not request.is_valid({"entities": [wrong]}), wrong


def test_proto_compiles_and_holds_what_is_served(
    contract: contracts.Contract, answered: tuple[Served, FeatureVectors]
) -> None:
    package, pool = loaded(contracts.text(contract, "proto"))
    assert package == f"controlplane.all.v{contract.version}"
    features = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.AllFeatures"))
    assert [field.name for field in features.DESCRIPTOR.fields] == [
        one.name for one in contract.features
    ]
    vector: Any = answered[1][0]
    found = features(
        risk=vector["risk"],
        words={"items": [{} if one is None else {"value": one} for one in vector["words"]]},
    )
    if vector["later"] is not None:
        found.later.FromDatetime(vector["later"])
    again = features.FromString(found.SerializeToString())
    assert [item.value if item.HasField("value") else None for item in again.words.items] == vector[
        "words"
    ]
    assert (again.HasField("risk"), again.HasField("taxed")) == (vector["risk"] is not None, False)
    assert set(json_format.MessageToDict(again)) <= {one.name for one in contract.features}


def test_arrow_is_of_what_is_read(
    contract: contracts.Contract, answered: tuple[Served, FeatureVectors]
) -> None:
    with pa.ipc.open_file(contracts.content(contract, "arrow")) as file:
        schema = file.schema
    assert (schema.metadata, file.num_record_batches) == (
        {b"service": b"all", b"version": contract.version.encode()},
        0,
    )
    features = [field for field in schema if field.metadata[b"role"] == b"feature"]
    assert [(field.name, field.type) for field in features] == [
        (field.name, field.type) for field in answered[1].to_arrow().schema
    ]
    given = {field.name: field for field in schema if field.metadata[b"role"] != b"feature"}
    assert list(given) == ["k", *EVERY_TYPE.fields]
    assert [name for name, field in given.items() if not field.nullable] == ["amount"]
    assert given["tags"].type == arrow_type("array<string>")


def test_the_version_follows_from_names_and_types_alone() -> None:
    with Rig(subject, cases.COLUMNS) as rig:

        def version(*calculations: Any, request: RequestSource = EVERY_TYPE) -> str:
            return contracts.contract(
                compiled([subject], rig.warehouse, calculations, request), "all"
            ).version

        first = version(*CALCULATED)
        assert version(*CALCULATED) == first
        nullable = RequestSource(
            "other_name", fields=EVERY_TYPE.fields, nullable=EVERY_TYPE.nullable, description="x"
        )
        assert version(*CALCULATED, request=nullable) == first
        strict = RequestSource(
            "every_type", fields=EVERY_TYPE.fields, nullable=EVERY_TYPE.nullable[1:]
        )
        assert len({first, version(*CALCULATED[:-1]), version(*CALCULATED, request=strict)}) == 3


def test_a_format_that_is_none(contract: contracts.Contract) -> None:
    with pytest.raises(PlaneError, match="there is no schema format 'avro'"):
        contracts.text(contract, "avro")
