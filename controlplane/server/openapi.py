"""What the server offers, as OpenAPI and as a page.

Made of what is deployed, so that names and types are real.
"""

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
    400: "The request is wrong; the answer names the field.",
    401: "There is no valid API key.",
    403: "The key may not read this feature service.",
    404: "There is no such feature service online.",
    408: "The body does not come in time.",
    413: "The body is too long.",
    414: "The request target is too long.",
    421: "The server does not answer to the name in the header `Host`.",
    422: "A calculation of the feature service fails for these values.",
    431: "The head of the request is too long.",
    503: "The online store is in trouble; ask again after `Retry-After` seconds.",
    504: "The latency budget is spent.",
}


def document(project: str, served: Sequence[Served], *, keys: bool, max_entities: int) -> Json:
    """The OpenAPI document of what is served.

    Args:
        project: its name.
        served: the feature services that whoever asks may read.
        keys: whether requests need an API key.
        max_entities: of one request.
    """
    names = [one.name for one in served]
    paths: Json = {f"/v1/services/{one.name}": _ours(one, max_entities) for one in served}
    if served:
        for path, summary, body, answer in _others(served, names, max_entities):
            paths[path] = {"post": _operation(summary, body, answer, {"type": "object"})}
    paths["/health/live"] = {"get": _told("Whether the process lives", "The process lives.")}
    paths["/health/ready"] = {
        "get": _told(
            "Whether requests can be answered",
            "The store answers.",
            {"503": {"description": _PROBLEMS[503]}},
        )
    }
    told: Json = {
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
        told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        told["security"] = [{"key": []}]
    return told


def _ours(served: Served, most: int) -> Json:
    inputs = {**served.inputs.fields, **served.inputs.keys}
    entity = record({name: nullable(_given(kind)) for name, kind in inputs.items()}, closed=False)
    vector = record(
        {
            "features": record(
                {name: nullable(scalar_or_list(kind)) for name, kind in served.types.items()}
            ),
            "statuses": record(
                {name: {"enum": [str(one) for one in Status]} for name in served.types}
            ),
            "effective_times": record(
                {name: nullable(scalar_or_list("timestamp")) for name in served.types}
            ),
        }
    )
    answer = record(
        {"service": {"const": served.name}, "vectors": {"type": "array", "items": vector}}
    )
    body = record({"entities": {"type": "array", "maxItems": most, "items": entity}}, closed=False)
    summary = served.description.strip().partition("\n")[0] or f"The features of {served.name}"
    return {
        "post": _operation(summary, body, answer, _ERROR),
        "get": _told("Keys, features, their types", "What it is."),
    }


def _others(
    served: Sequence[Served], names: list[str], most: int
) -> Iterable[tuple[str, str, Json, Json]]:
    kinds = {
        name: kind
        for one in served
        for name, kind in {**one.inputs.fields, **one.inputs.keys}.items()
    }
    values = {
        "type": "object",
        "properties": {name: nullable(_given(kind)) for name, kind in kinds.items()},
    }
    flags = (
        "includeNames",
        "includeEffectiveTimes",
        "includeDataTypes",
        "includeServingStatus",
        "includeSloInfo",
    )
    options = {"type": "object", "properties": {flag: {"type": "boolean"} for flag in flags}}
    service = {"enum": names}
    row = {"joinKeyMap": values, "requestContextMap": values}
    common = {
        "featureServiceName": service,
        "workspaceName": {"type": "string"},
        "metadataOptions": options,
    }
    one = {"type": "object", "required": ["featureServiceName"], "properties": {**common, **row}}
    rows = {"type": "array", "maxItems": most, "items": {"type": "object", "properties": row}}
    many = {
        "type": "object",
        "required": ["featureServiceName", "requestData"],
        "properties": {**common, "requestData": rows},
    }
    vector = record({"features": {"type": "array"}})
    path = "/api/v1/feature-service/get-features"
    single = {"type": "object", "required": ["result"], "properties": {"result": vector}}
    several = {
        "type": "object",
        "required": ["result"],
        "properties": {"result": {"type": "array", "items": vector}},
    }
    yield path, "As Tecton's get-features", record({"params": one}, closed=False), single
    yield (
        f"{path}-batch",
        "As Tecton's get-features-batch",
        record({"params": many}, closed=False),
        several,
    )
    columns = {
        name: {"type": "array", "maxItems": most, "items": nullable(_given(kind))}
        for name, kind in kinds.items()
    }
    references = sorted({name.replace("__", ":", 1) for one in served for name in one.types})
    feast = {
        "type": "object",
        "required": ["entities"],
        "oneOf": [{"required": ["feature_service"]}, {"required": ["features"]}],
        "properties": {
            "feature_service": service,
            "features": {"type": "array", "minItems": 1, "items": {"enum": references}},
            "entities": {"type": "object", "properties": columns},
            "request_context": {"type": "object", "properties": columns},
            "full_feature_names": {"type": "boolean"},
        },
    }
    answer = record(
        {"metadata": {"type": "object"}, "results": {"type": "array", "items": {"type": "object"}}}
    )
    yield "/get-online-features", "As Feast's get-online-features", feast, answer


def _operation(summary: str, body: Json, answer: Json, problem: Json) -> Json:
    problems = {
        str(code): {"description": text, **_content(problem)} for code, text in _PROBLEMS.items()
    }
    problems["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, **_content(body)},
        "responses": {"200": {"description": "The features.", **_content(answer)}, **problems},
    }


def _told(summary: str, answer: str, more: Json | None = None) -> Json:
    return {"summary": summary, "responses": {"200": {"description": answer}, **(more or {})}}


def _content(schema: Json) -> Json:
    return {"content": {"application/json": {"schema": schema}}}


def _given(kind: str) -> Json:
    """How a value of a type is given."""
    if is_list(kind):
        return {
            "type": "array",
            "items": nullable(_given(item_type(kind))),
            "description": form(kind),
        }
    return {**scalar_or_list(kind), "description": form(kind)}


def _error() -> Json:
    texts = {name: {"type": "string"} for name in ("message", "field", "hint")}
    return record({"error": record({"code": {"enum": [*CODES.values(), *OTHER_CODES]}, **texts})})


_STYLE = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto}td{padding:0 1em 0 0}"


def page(told: Mapping[str, Any]) -> bytes:
    """The document for people; it loads nothing from elsewhere."""
    parts = [
        f"<!doctype html><title>{escape(told['info']['title'])}</title><style>{_STYLE}</style>"
    ]
    parts.append(
        f"<h1>{escape(told['info']['title'])}</h1><p>{escape(told['info']['description'])}</p>"
    )
    parts.append('<p>The same for programs: <a href="/openapi.json">openapi.json</a>.</p>')
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            parts.append(
                f"<h2><code>{method.upper()}"
                f" {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            )
            if "requestBody" in operation:
                told_of = {
                    "Body": operation["requestBody"],
                    "Answer": operation["responses"]["200"],
                }
                for title, holder in told_of.items():
                    parts.append(
                        f"<h3>{title}</h3>"
                        + _table(holder["content"]["application/json"]["schema"])
                    )
    return "\n".join(parts).encode()


def _table(schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}"
        for name, kind in _fields("", schema)
    )
    return f"<table>{rows}</table>"


def _fields(prefix: str, schema: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    schema = schema["anyOf"][0] if "anyOf" in schema else schema
    kind = (
        schema.get("type")
        or f"one of {', '.join(map(str, schema.get('enum', [schema.get('const', '')])))}"
    )
    if prefix:
        yield prefix, schema.get("description") or schema.get("format") or kind
    for name, inner in schema.get("properties", {}).items():
        yield from _fields(f"{prefix}.{name}".lstrip("."), inner)
    if kind == "array" and "properties" in schema.get("items", {}):
        yield from _fields(f"{prefix}[]", schema["items"])
