"""The shapes in which features are asked for and answered: our own, Tecton's and Feast's.

One core behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from controlplane.base.types import format_instant, from_micros, is_decimal, is_list, item_type
from controlplane.server.refused import Refused, as_json
from controlplane.server.services import Served
from controlplane.serving import FeatureVector, FeatureVectors, Names, Status

_encode = msgspec.json.Encoder().encode
_instant = lru_cache(maxsize=10_000)(lambda count: format_instant(from_micros(count)))
"""An effective time in microseconds, as text: a publication gives the same to many rows."""
Json = dict[str, Any]


class Call(NamedTuple):
    """What a body asks for.

    Args:
        service: the feature service.
        entities: for each its keys and request fields, as JSON has them.
        place: where one of these stands in the body; see `Inputs.typed`.
        options: what the shape needs to answer.
        features: the names of those that are wanted, of any service, where none is named.
    """

    service: str
    entities: list[Json]
    place: str
    options: Any = None
    features: Sequence[str] = ()


class Shape(Protocol):
    """One way to ask and answer."""

    api: str

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """What a body asks for.

        `name` is what the path says behind the route, `most` how many entities may be.

        Raises:
            Refused: the body is not of the shape.
        """

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """The answer.

        Raises:
            Refused: the service can't be answered as the body asks.
        """

    def refuse(self, refused: Refused) -> bytes:
        """The answer to what is refused."""


def _read(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:  # noqa: ANN401 - of the decoder's type
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # It names types and places, and places are names of ours up to the first that is a key of a
        # mapping.
        message, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".")
        raise Refused(
            400, f"the body is not as it should be: {message}", field=field, hint="see /docs"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "the body is not valid JSON", hint="send JSON in UTF-8") from None


def _limit(count: int, most: int) -> None:
    if count > most:
        raise Refused(400, f"at most {most} entities can be asked for at a time")


class _Entities(msgspec.Struct):
    entities: list[Json]


_STATUS = {status: status.value for status in Status}  # plain text, which is encoded faster


class _Vector(msgspec.Struct, gc=False):
    features: Any
    statuses: msgspec.Raw
    effective_times: msgspec.Raw


class _Vectors(msgspec.Struct, gc=False):
    service: str
    vectors: list[_Vector]


@lru_cache(maxsize=100)
def _features(names: Names) -> Callable[..., msgspec.Struct]:
    """A structure of the service's features: made and encoded in a third of a dict's time."""
    fields = [f"f{place}" for place in range(len(names.positions))]
    return msgspec.defstruct(
        "Features", fields, rename=dict(zip(fields, names.positions, strict=True)), gc=False
    )


# Many vectors say the same of their rows: to write it anew for each would take a tenth of a
# request's time.
@lru_cache(maxsize=256)
def _statuses(names: Names, found: Sequence[Status], nulls: Sequence[bool]) -> msgspec.Raw:
    return msgspec.Raw(_encode(names.said(_STATUS, found, nulls)))


@lru_cache(maxsize=256)
def _times(names: Names, since: Sequence[int | None]) -> msgspec.Raw:
    return msgspec.Raw(_encode(names.effective(_instant, since)))


class NamedMap:
    """Our own: everything by name."""

    api = "plane"
    _decoder = msgspec.json.Decoder(_Entities)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        entities = _read(self._decoder, body).entities
        _limit(len(entities), most)
        return Call(name, entities, "entities[{n}].{name}")

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        found = []
        for vector in vectors:
            names = vector.names
            statuses = _statuses(names, vector.row_statuses, vector.nulls)
            found.append(
                _Vector(_features(names)(*vector.listed), statuses, _times(names, vector.since))
            )
        return _encode(_Vectors(served.name, found))

    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        return as_json(refused)


_TECTON_STATUS = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "PRESENT",
    Status.MISSING: "MISSING_DATA",
    Status.EXPIRED: "MISSING_DATA",
}
_TECTON_TYPES = {"bool": "boolean", "binary": "string", "date": "string"}
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


class _TectonParams(msgspec.Struct, rename="camel"):
    feature_service_name: str
    join_key_map: Json = {}
    request_context_map: Json = {}
    metadata_options: _Options = _Options()
    workspace_name: str = ""


class _TectonRow(msgspec.Struct, rename="camel"):
    join_key_map: Json = {}
    request_context_map: Json = {}


class _TectonBatchParams(msgspec.Struct, rename="camel"):
    feature_service_name: str
    request_data: list[_TectonRow]
    metadata_options: _Options = _Options()
    workspace_name: str = ""


class _Tecton:
    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        text = f"{refused.message}{': ' * bool(refused.hint)}{refused.hint}"
        return _encode(
            {"error": text, "message": text, "code": _GRPC_CODES[refused.status], "details": []}
        )

    def _params(self, body: bytes, decoder: msgspec.json.Decoder[Any], kind: Any) -> Any:  # noqa: ANN401
        """The parameters, whose names Tecton's own clients write in either case."""
        params = _read(decoder, body).params
        try:
            return msgspec.convert(_camel(params), kind)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `$")
            field = f"params{place.rstrip('`')}"
            raise Refused(
                400, f"the body is not as it should be: {message}", field=field, hint="see /docs"
            ) from None

    def _metadata(self, served: Served, options: _Options) -> list[Json]:
        items: list[Json] = []
        for name, kind in served.types.items():
            item: Json = {}
            if options.include_names:
                item["name"] = _tecton_name(name)
            if options.include_data_types:
                item["dataType"] = _tecton_type(kind)
            items.append(item)
        return items


class _Params(msgspec.Struct):
    params: Json


class Tecton(_Tecton):
    """Tecton's get-features."""

    api = "tecton"
    _decoder = msgspec.json.Decoder(_Params)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        params = self._params(body, self._decoder, _TectonParams)
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
        answer: Json = {"result": {"features": _tecton_values(served, vector)}}
        if items := self._metadata(served, call.options):
            statuses, times = vector.said(_TECTON_STATUS), vector.effective(_instant)
            for name, item in zip(served.types, items, strict=True):
                if call.options.include_serving_status:
                    item["status"] = statuses[name]
                if call.options.include_effective_times and times[name] is not None:
                    item["effectiveTime"] = times[name]
            answer["metadata"] = {"features": items}
        return _encode(answer)


class TectonBatch(_Tecton):
    """Tecton's get-features-batch.

    Effective times are told by get-features alone, as theirs are.
    """

    api = "tecton-batch"
    _decoder = msgspec.json.Decoder(_Params)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        params = self._params(body, self._decoder, _TectonBatchParams)
        _limit(len(params.request_data), most)
        entities = [{**row.request_context_map, **row.join_key_map} for row in params.request_data]
        place = "params.requestData[{n}].joinKeyMap.{name}"
        return Call(params.feature_service_name, entities, place, params.metadata_options)

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        items = self._metadata(served, call.options)
        if call.options.include_serving_status:
            found = [vector.said(_TECTON_STATUS) for vector in vectors]
            for name, item in zip(served.types, items, strict=True):
                item["status"] = [statuses[name] for statuses in found]
        result = [{"features": _tecton_values(served, vector)} for vector in vectors]
        return _encode({"result": result, "metadata": {"features": items}})


def _camel(params: Mapping[str, Any]) -> Json:
    """The same with names in camel case, down to the maps of values, whose names are the service's
    own."""
    found: Json = {}
    for name, value in params.items():
        first, *rest = name.split("_")
        camel = first + "".join(part.capitalize() for part in rest)
        if camel == "metadataOptions" and isinstance(value, dict):
            found[camel] = _camel(value)
        elif camel == "requestData" and isinstance(value, list):
            found[camel] = [_camel(row) if isinstance(row, dict) else row for row in value]
        else:
            found[camel] = value
    return found


def _tecton_name(name: str) -> str:
    """`view.feature`; a calculation stands for its own view, as Tecton's on-demand ones do."""
    view, _, feature = name.partition("__")
    return f"{view}.{feature or view}"


def _tecton_type(kind: str) -> Json:
    if is_list(kind):
        return {"type": "array", "elementType": _tecton_type(item_type(kind))}
    return {"type": "string" if is_decimal(kind) else _TECTON_TYPES.get(kind, kind)}


def _tecton_values(served: Served, vector: FeatureVector) -> list[Any]:
    pairs = zip(vector.plain.values(), served.types.values(), strict=True)
    return [_digits(value) if "int64" in kind else value for value, kind in pairs]


def _digits(value: Any) -> Any:  # noqa: ANN401
    """Whole numbers as their digits, as Tecton has them."""
    if isinstance(value, list):
        return [_digits(item) for item in value]
    return None if value is None else str(value)


_FEAST_STATUS = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "NULL_VALUE",
    Status.MISSING: "NOT_FOUND",
    Status.EXPIRED: "OUTSIDE_MAX_AGE",
}
_FEAST_EPOCH = "1970-01-01T00:00:00Z"


class _FeastBody(msgspec.Struct):
    entities: dict[str, list[Any]]
    feature_service: str | None = None
    features: list[str] | None = None
    full_feature_names: bool = False
    request_context: dict[str, list[Any]] = {}


class Feast:
    """Feast's get-online-features, by feature service or by features; the answer is by column."""

    api = "feast"
    _decoder = msgspec.json.Decoder(_FeastBody)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        asked = _read(self._decoder, body)
        if bool(asked.feature_service) == bool(asked.features):
            raise Refused(
                400,
                "give either `feature_service` or `features`",
                field="features",
                hint="see /docs",
            )
        columns = {**asked.request_context, **asked.entities}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise Refused(
                400, "the columns of `entities` are of different lengths", field="entities"
            )
        _limit(max(lengths, default=0), most)
        names, rows = list(columns), zip(*columns.values(), strict=True)
        entities = [dict(zip(names, row, strict=True)) for row in rows]
        features = [reference.replace(":", "__", 1) for reference in asked.features or ()]
        return Call(asked.feature_service or "", entities, "entities.{name}[{n}]", asked, features)

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        names = [name for name in call.options.entities if name in served.inputs.keys]
        full = call.options.full_feature_names
        wanted = call.features or list(served.types)
        features = [name if full else name.partition("__")[2] or name for name in wanted]
        if len({*names, *features}) < len(names) + len(features):
            hint = "set it to true: two features, or a feature and a key, have the same short name"
            raise Refused(
                400,
                "short names are not unique in this service",
                field="full_feature_names",
                hint=hint,
            )
        count = len(vectors)
        results: list[Json] = [
            {
                "values": call.options.entities[name],
                "statuses": ["PRESENT"] * count,
                "event_timestamps": [_FEAST_EPOCH] * count,
            }
            for name in names
        ]
        values = [vector.plain for vector in vectors]
        statuses = [vector.said(_FEAST_STATUS) for vector in vectors]
        times = [vector.effective(_instant) for vector in vectors]
        for feature in wanted:
            results.append(
                {
                    "values": [one[feature] for one in values],
                    "statuses": [one[feature] for one in statuses],
                    "event_timestamps": [one[feature] or _FEAST_EPOCH for one in times],
                }
            )
        return _encode({"metadata": {"feature_names": [*names, *features]}, "results": results})

    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        return _encode({"detail": f"{refused.message}{': ' * bool(refused.hint)}{refused.hint}"})
