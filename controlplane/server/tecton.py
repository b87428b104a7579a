"""Tecton's shapes: get-features and get-features-batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from controlplane.base.types import is_decimal, is_list, item_type
from controlplane.server.refused import Refused
from controlplane.server.services import Served
from controlplane.server.shapes import (
    Call,
    Json,
    check_count,
    decode,
    encode,
    instant_text,
    invalid,
)
from controlplane.serving import FeatureVector, FeatureVectors, Status

T = TypeVar("T")
_STATUS = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "PRESENT",
    Status.MISSING: "MISSING_DATA",
    Status.EXPIRED: "MISSING_DATA",
}
_TYPES = {"bool": "boolean", "binary": "string", "date": "string"}
_GRPC_CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    405: 12,
    408: 4,
    413: 3,
    421: 7,
    422: 9,
    503: 14,
    504: 4,
}


class _Options(msgspec.Struct, frozen=True, rename="camel"):
    include_names: bool = False
    include_effective_times: bool = False
    include_data_types: bool = False
    include_serving_status: bool = False
    include_slo_info: bool = False


class _SingleParams(msgspec.Struct, rename="camel"):
    feature_service_name: str
    join_key_map: Json = {}
    request_context_map: Json = {}
    metadata_options: _Options = _Options()
    workspace_name: str = ""


class _Row(msgspec.Struct, rename="camel"):
    join_key_map: Json = {}
    request_context_map: Json = {}


class _BatchParams(msgspec.Struct, rename="camel"):
    feature_service_name: str
    request_data: list[_Row]
    metadata_options: _Options = _Options()
    workspace_name: str = ""


class _Params(msgspec.Struct):
    params: Json


_DECODER = msgspec.json.Decoder(_Params)


class _Tecton:
    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        text = f"{refused.message}{': ' * bool(refused.hint)}{refused.hint}"
        return encode(
            {"error": text, "message": text, "code": _GRPC_CODES[refused.status], "details": []}
        )

    def _params(self, body: bytes, struct: type[T]) -> T:
        """Parse the parameters; Tecton's own clients write their names in either case."""
        params = decode(_DECODER, body).params
        try:
            return msgspec.convert(_camel(params), struct)
        except msgspec.ValidationError as error:
            raise invalid(error, "params") from None

    def _metadata(self, served: Served, options: _Options) -> list[Json]:
        items: list[Json] = []
        for name, feature_type in served.types.items():
            item: Json = {}
            if options.include_names:
                item["name"] = _name(name)
            if options.include_data_types:
                item["dataType"] = _type(feature_type)
            items.append(item)
        return items


class Tecton(_Tecton):
    """Tecton's get-features."""

    api = "tecton"

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        params = self._params(body, _SingleParams)
        entity = {**params.request_context_map, **params.join_key_map}
        return Call(
            params.feature_service_name,
            [entity],
            "params.joinKeyMap.{name}",
            params.metadata_options,
        )

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        [vector] = vectors
        response: Json = {"result": {"features": _values(served, vector)}}
        if items := self._metadata(served, call.options):
            statuses, times = vector.said(_STATUS), vector.effective(instant_text)
            for name, item in zip(served.types, items, strict=True):
                if call.options.include_serving_status:
                    item["status"] = statuses[name]
                if call.options.include_effective_times and times[name] is not None:
                    item["effectiveTime"] = times[name]
            response["metadata"] = {"features": items}
        return encode(response)


class TectonBatch(_Tecton):
    """Tecton's get-features-batch. As in Tecton, only get-features has effective times."""

    api = "tecton-batch"

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        params = self._params(body, _BatchParams)
        check_count(len(params.request_data), most)
        entities = [{**row.request_context_map, **row.join_key_map} for row in params.request_data]
        path = "params.requestData[{n}].joinKeyMap.{name}"
        return Call(params.feature_service_name, entities, path, params.metadata_options)

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        items = self._metadata(served, call.options)
        if call.options.include_serving_status:
            of_vectors = [vector.said(_STATUS) for vector in vectors]
            for name, item in zip(served.types, items, strict=True):
                item["status"] = [statuses[name] for statuses in of_vectors]
        result = [{"features": _values(served, vector)} for vector in vectors]
        return encode({"result": result, "metadata": {"features": items}})


def _camel(params: Mapping[str, Any]) -> Json:
    """Return the parameters with names in camel case.

    The names in maps of values are the service's own, and stay unchanged.
    """
    renamed: Json = {}
    for name, value in params.items():
        first, *rest = name.split("_")
        camel = first + "".join(part.capitalize() for part in rest)
        if camel == "metadataOptions" and isinstance(value, dict):
            renamed[camel] = _camel(value)
        elif camel == "requestData" and isinstance(value, list):
            renamed[camel] = [_camel(row) if isinstance(row, dict) else row for row in value]
        else:
            renamed[camel] = value
    return renamed


def _name(name: str) -> str:
    """Return `view.feature`; a calculation is its own view, like Tecton's on-demand views."""
    view, _, feature = name.partition("__")
    return f"{view}.{feature or view}"


def _type(name: str) -> Json:
    if is_list(name):
        return {"type": "array", "elementType": _type(item_type(name))}
    return {"type": "string" if is_decimal(name) else _TYPES.get(name, name)}


def _values(served: Served, vector: FeatureVector) -> list[Any]:
    pairs = zip(vector.plain.values(), served.types.values(), strict=True)
    return [_digits(value) if "int64" in type_name else value for value, type_name in pairs]


def _digits(value: Any) -> Any:  # noqa: ANN401 - an integer, a list or None
    """Return whole numbers as texts of their digits, as Tecton does."""
    if isinstance(value, list):
        return [_digits(item) for item in value]
    return None if value is None else str(value)
