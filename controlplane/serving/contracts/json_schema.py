"""JSON Schema (2020-12) of the body and the response of `POST /v1/services/<service>`."""

from __future__ import annotations

from typing import Any

from controlplane.base.types import is_list, item_type
from controlplane.serving import Status
from controlplane.serving.contracts.contract import Contract

Json = dict[str, Any]
_SCALARS: dict[str, Json] = {
    "bool": {"type": "boolean"},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float64": {"type": "number"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{4})*$"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
}


def json_schema(contract: Contract) -> Json:
    """Return one document with the schemas of the request's body and of the response."""
    refs = [{"$ref": f"#/$defs/{name}"} for name in ("request", "response")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:controlplane:{contract.service}:{contract.version}",
        "title": contract.service,
        **({"description": contract.description} if contract.description else {}),
        "anyOf": refs,
        "$defs": {"request": _request(contract), "response": _response(contract)},
    }


def scalar_or_list(value_type: str) -> Json:
    """Return the schema of a value of a canonical type."""
    if is_list(value_type):
        return {"type": "array", "items": nullable(scalar_or_list(item_type(value_type)))}
    return _SCALARS.get(
        value_type, {"type": "string", "description": f"the digits of a {value_type}"}
    )


def nullable(schema: Json) -> Json:
    """Return the schema of the same values, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(properties: Json, *, closed: bool = True) -> Json:
    """Return the schema of an object with all of these properties; `closed` forbids others."""
    schema: Json = {"type": "object", "required": list(properties), "properties": properties}
    return {**schema, "additionalProperties": False} if closed else schema


def _request(contract: Contract) -> Json:
    # Not closed: a request may have keys of other services, which are ignored.
    entity = record(
        {name: nullable(scalar_or_list(key_type)) for name, key_type in contract.keys}, closed=False
    )
    for field in contract.request:
        schema = scalar_or_list(field.type)
        entity["properties"][field.name] = nullable(schema) if field.nullable else schema
        if not field.nullable:
            entity["required"].append(field.name)
    return record({"entities": {"type": "array", "maxItems": 1000, "items": entity}}, closed=False)


def _response(contract: Contract) -> Json:
    values = {}
    for feature in contract.features:
        about = {"description": feature.description} if feature.description else {}
        values[feature.name] = {**nullable(scalar_or_list(feature.type)), **about}
    names = list(values)
    statuses: Json = {"enum": [str(status) for status in Status]}
    vector = record(
        {
            "features": record(values),
            "statuses": record(dict.fromkeys(names, statuses)),
            "effective_times": record(dict.fromkeys(names, nullable(scalar_or_list("timestamp")))),
        }
    )
    return record(
        {"service": {"const": contract.service}, "vectors": {"type": "array", "items": vector}}
    )
