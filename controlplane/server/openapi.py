"""The server's API as OpenAPI and as a page, with the names and types of the deployed services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import controlplane
from controlplane.base.types import is_list, item_type
from controlplane.server.inputs import form
from controlplane.server.refused import CODES, OTHER_CODES
from controlplane.server.services import Served
from controlplane.serving import Status
from controlplane.serving.contracts.json_schema import Json, nullable, record, scalar_or_list

_ERROR = {"$ref": "#/components/schemas/Error"}
_PROBLEMS = {
    400: "The request is not valid; the response names the field.",
    401: "The request has no valid API key.",
    403: "The key may not read this feature service.",
    404: "No such feature service is online.",
    408: "The body does not arrive in time.",
    413: "The body is too long.",
    414: "The request target is too long.",
    421: "The name in the header `Host` is not allowed.",
    422: "A calculation of the feature service fails for these values.",
    431: "The head of the request is too long.",
    503: "The online store fails or can't be reached; retry after `Retry-After` seconds.",
    504: "The online store did not reply within the time limit.",
}


def document(project: str, served: Sequence[Served], *, keys: bool, max_entities: int) -> Json:
    """Return the OpenAPI document of the server.

    Args:
        project: the project's name.
        served: the feature services that the client may read.
        keys: whether requests need an API key.
        max_entities: the most entities of one request.
    """
    paths: Json = {
        f"/v1/services/{service.name}": _own_shape(service, max_entities) for service in served
    }
    if served:
        for path, summary, body, response in _other_shapes(served, max_entities):
            paths[path] = {"post": _post(summary, body, response, {"type": "object"})}
    paths["/health/live"] = {"get": _get("Whether the process runs", "The process runs.")}
    paths["/health/ready"] = {
        "get": _get(
            "Whether requests can be answered",
            "The store answers.",
            {"503": {"description": _PROBLEMS[503]}},
        )
    }
    openapi: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Features of {project}",
            "version": controlplane.__version__,
            "description": (
                "Online features by feature service; 64-bit integers have all their digits."
            ),
        },
        "paths": paths,
        "components": {"schemas": {"Error": _error()}},
    }
    if keys:
        openapi["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        openapi["security"] = [{"key": []}]
    return openapi


def _own_shape(served: Served, most: int) -> Json:
    inputs = {**served.inputs.fields, **served.inputs.keys}
    entity = record(
        {name: nullable(_input(input_type)) for name, input_type in inputs.items()}, closed=False
    )
    statuses = {"enum": [str(status) for status in Status]}
    vector = record(
        {
            "features": record(
                {
                    name: nullable(scalar_or_list(feature_type))
                    for name, feature_type in served.types.items()
                }
            ),
            "statuses": record(dict.fromkeys(served.types, statuses)),
            "effective_times": record(
                {name: nullable(scalar_or_list("timestamp")) for name in served.types}
            ),
        }
    )
    response = record(
        {"service": {"const": served.name}, "vectors": {"type": "array", "items": vector}}
    )
    body = record({"entities": {"type": "array", "maxItems": most, "items": entity}}, closed=False)
    summary = served.description.strip().partition("\n")[0] or f"The features of {served.name}"
    return {
        "post": _post(summary, body, response, _ERROR),
        "get": _get("Keys, features, their types", "The feature service."),
    }


def _other_shapes(served: Sequence[Served], most: int) -> Iterable[tuple[str, str, Json, Json]]:
    # One path is for all services, so its body may have the inputs of any of them.
    inputs = {
        name: input_type
        for service in served
        for name, input_type in {**service.inputs.fields, **service.inputs.keys}.items()
    }
    values = {
        "type": "object",
        "properties": {name: nullable(_input(input_type)) for name, input_type in inputs.items()},
    }
    flags = (
        "includeNames",
        "includeEffectiveTimes",
        "includeDataTypes",
        "includeServingStatus",
        "includeSloInfo",
    )
    options = {"type": "object", "properties": {flag: {"type": "boolean"} for flag in flags}}
    service_name = {"enum": [service.name for service in served]}
    row = {"joinKeyMap": values, "requestContextMap": values}
    common = {
        "featureServiceName": service_name,
        "workspaceName": {"type": "string"},
        "metadataOptions": options,
    }
    single = {"type": "object", "required": ["featureServiceName"], "properties": {**common, **row}}
    rows = {"type": "array", "maxItems": most, "items": {"type": "object", "properties": row}}
    batch = {
        "type": "object",
        "required": ["featureServiceName", "requestData"],
        "properties": {**common, "requestData": rows},
    }
    vector = record({"features": {"type": "array"}})
    path = "/api/v1/feature-service/get-features"
    single_response = {"type": "object", "required": ["result"], "properties": {"result": vector}}
    batch_response = {
        "type": "object",
        "required": ["result"],
        "properties": {"result": {"type": "array", "items": vector}},
    }
    yield (
        path,
        "As Tecton's get-features",
        record({"params": single}, closed=False),
        single_response,
    )
    yield (
        f"{path}-batch",
        "As Tecton's get-features-batch",
        record({"params": batch}, closed=False),
        batch_response,
    )
    columns = {
        name: {"type": "array", "maxItems": most, "items": nullable(_input(input_type))}
        for name, input_type in inputs.items()
    }
    references = sorted(
        {name.replace("__", ":", 1) for service in served for name in service.types}
    )
    feast = {
        "type": "object",
        "required": ["entities"],
        "oneOf": [{"required": ["feature_service"]}, {"required": ["features"]}],
        "properties": {
            "feature_service": service_name,
            "features": {"type": "array", "minItems": 1, "items": {"enum": references}},
            "entities": {"type": "object", "properties": columns},
            "request_context": {"type": "object", "properties": columns},
            "full_feature_names": {"type": "boolean"},
        },
    }
    feast_response = record(
        {"metadata": {"type": "object"}, "results": {"type": "array", "items": {"type": "object"}}}
    )
    yield "/get-online-features", "As Feast's get-online-features", feast, feast_response


def _post(summary: str, body: Json, response: Json, problem: Json) -> Json:
    problems = {
        str(code): {"description": text, **_content(problem)} for code, text in _PROBLEMS.items()
    }
    problems["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, **_content(body)},
        "responses": {"200": {"description": "The features.", **_content(response)}, **problems},
    }


def _get(summary: str, success: str, problems: Json | None = None) -> Json:
    responses = {"200": {"description": success}, **(problems or {})}
    return {"summary": summary, "responses": responses}


def _content(schema: Json) -> Json:
    return {"content": {"application/json": {"schema": schema}}}


def _input(type_name: str) -> Json:
    """Return the schema of an input of a type."""
    if is_list(type_name):
        return {
            "type": "array",
            "items": nullable(_input(item_type(type_name))),
            "description": form(type_name),
        }
    return {**scalar_or_list(type_name), "description": form(type_name)}


def _error() -> Json:
    texts = {name: {"type": "string"} for name in ("message", "field", "hint")}
    return record({"error": record({"code": {"enum": [*CODES.values(), *OTHER_CODES]}, **texts})})


_STYLE = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto}td{padding:0 1em 0 0}"


def page(openapi: Mapping[str, Any]) -> bytes:
    """Return the document as a page of HTML, which loads nothing from other servers."""
    title, description = escape(openapi["info"]["title"]), escape(openapi["info"]["description"])
    parts = [
        f"<!doctype html><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><p>{description}</p>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            parts.append(
                f"<h2><code>{method.upper()}"
                f" {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            )
            if "requestBody" in operation:
                bodies = {
                    "Body": operation["requestBody"],
                    "Answer": operation["responses"]["200"],
                }
                for heading, body in bodies.items():
                    table = _table(body["content"]["application/json"]["schema"])
                    parts.append(f"<h3>{heading}</h3>{table}")
    return "\n".join(parts).encode()


def _table(schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(description)}"
        for name, description in _fields("", schema)
    )
    return f"<table>{rows}</table>"


def _fields(prefix: str, schema: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    schema = schema["anyOf"][0] if "anyOf" in schema else schema
    choices = schema.get("enum", [schema.get("const", "")])
    json_type = schema.get("type") or f"one of {', '.join(map(str, choices))}"
    if prefix:
        yield prefix, schema.get("description") or schema.get("format") or json_type
    for name, inner in schema.get("properties", {}).items():
        yield from _fields(f"{prefix}.{name}".lstrip("."), inner)
    if json_type == "array" and "properties" in schema.get("items", {}):
        yield from _fields(f"{prefix}[]", schema["items"])
