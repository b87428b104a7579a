"""JSON Schema (2020-12) of what `POST /v1/services/<service>` takes and answers."""

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


def json_schema(found: Contract) -> Json:
    """One document with the schema of the request's body and of the answer's."""
    refs = [{"$ref": f"#/$defs/{name}"} for name in ("request", "response")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:controlplane:{found.service}:{found.version}",
        "title": found.service,
        **({"description": found.description} if found.description else {}),
        "anyOf": refs,
        "$defs": {"request": _request(found), "response": _response(found)},
    }


def scalar_or_list(kind: str) -> Json:
    """How JSON has a value of a type."""
    if is_list(kind):
        return {"type": "array", "items": nullable(scalar_or_list(item_type(kind)))}
    return _SCALARS.get(kind, {"type": "string", "description": f"the digits of a {kind}"})


def nullable(schema: Json) -> Json:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(properties: Json, *, closed: bool = True) -> Json:
    """An object with all of these, and with `closed` no others."""
    found: Json = {"type": "object", "required": list(properties), "properties": properties}
    return {**found, "additionalProperties": False} if closed else found


def _request(found: Contract) -> Json:
    entity = record(
        {name: nullable(scalar_or_list(kind)) for name, kind in found.keys}, closed=False
    )
    for field in found.request:
        kind = scalar_or_list(field.type)
        entity["properties"][field.name] = nullable(kind) if field.nullable else kind
        if not field.nullable:
            entity["required"].append(field.name)
    return record({"entities": {"type": "array", "maxItems": 1000, "items": entity}}, closed=False)


def _response(found: Contract) -> Json:
    values = {}
    for one in found.features:
        said = {"description": one.description} if one.description else {}
        values[one.name] = {**nullable(scalar_or_list(one.type)), **said}
    names = list(values)
    statuses: Json = {"enum": [str(one) for one in Status]}
    vector = record(
        {
            "features": record(values),
            "statuses": record(dict.fromkeys(names, statuses)),
            "effective_times": record(dict.fromkeys(names, nullable(scalar_or_list("timestamp")))),
        }
    )
    return record(
        {"service": {"const": found.service}, "vectors": {"type": "array", "items": vector}}
    )
