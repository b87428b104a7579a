"""Feast's shape: get-online-features."""

from __future__ import annotations

from typing import Any

import msgspec

from controlplane.server.refused import Refused
from controlplane.server.services import Served
from controlplane.server.shapes import Call, Json, check_count, decode, encode, instant_text
from controlplane.serving import FeatureVectors, Status

_STATUS = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "NULL_VALUE",
    Status.MISSING: "NOT_FOUND",
    Status.EXPIRED: "OUTSIDE_MAX_AGE",
}
# Feast's answer for a row without a time.
_EPOCH = "1970-01-01T00:00:00Z"


class _Body(msgspec.Struct):
    entities: dict[str, list[Any]]
    feature_service: str | None = None
    features: list[str] | None = None
    full_feature_names: bool = False
    request_context: dict[str, list[Any]] = {}


class Feast:
    """Feast's get-online-features, by feature service or by features; it responds by column."""

    api = "feast"
    _decoder = msgspec.json.Decoder(_Body)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        request = decode(self._decoder, body)
        if bool(request.feature_service) == bool(request.features):
            raise Refused(
                400,
                "give either `feature_service` or `features`",
                field="features",
                hint="see /docs",
            )
        columns = {**request.request_context, **request.entities}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise Refused(400, "the columns of `entities` have different lengths", field="entities")
        check_count(max(lengths, default=0), most)
        names, rows = list(columns), zip(*columns.values(), strict=True)
        entities = [dict(zip(names, row, strict=True)) for row in rows]
        features = [reference.replace(":", "__", 1) for reference in request.features or ()]
        return Call(
            request.feature_service or "", entities, "entities.{name}[{n}]", request, features
        )

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        names = [name for name in call.options.entities if name in served.inputs.keys]
        full = call.options.full_feature_names
        full_names = call.features or list(served.types)
        features = [name if full else name.partition("__")[2] or name for name in full_names]
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
                "event_timestamps": [_EPOCH] * count,
            }
            for name in names
        ]
        values = [vector.plain for vector in vectors]
        statuses = [vector.said(_STATUS) for vector in vectors]
        times = [vector.effective(instant_text) for vector in vectors]
        for name in full_names:
            results.append(
                {
                    "values": [vector[name] for vector in values],
                    "statuses": [of_vector[name] for of_vector in statuses],
                    "event_timestamps": [of_vector[name] or _EPOCH for of_vector in times],
                }
            )
        return encode({"metadata": {"feature_names": [*names, *features]}, "results": results})

    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        return encode({"detail": f"{refused.message}{': ' * bool(refused.hint)}{refused.hint}"})
