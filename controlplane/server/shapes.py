"""The shapes of requests and responses: what each shape must do, and the platform's own.

`controlplane.server.tecton` and `controlplane.server.feast` have the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from controlplane.base.types import format_instant, from_micros
from controlplane.server.refused import Refused, as_json
from controlplane.server.services import Served
from controlplane.serving import FeatureVectors, Names, Status

Json = dict[str, Any]
T = TypeVar("T")
encode = msgspec.json.Encoder().encode
instant_text = lru_cache(maxsize=10_000)(lambda count: format_instant(from_micros(count)))
"""Format an effective time in microseconds; a publication gives many rows the same time."""


class Call(NamedTuple):
    """The request in a body, in any shape.

    Args:
        service: the feature service.
        entities: the keys and request fields of each entity, as JSON has them.
        path: where one of these values is in the body; see `Inputs.typed`.
        options: what the shape needs for its response.
        features: the names of the features, if the body names no feature service.
    """

    service: str
    entities: list[Json]
    path: str
    options: Any = None
    features: Sequence[str] = ()


class Shape(Protocol):
    """One shape of requests and responses.

    Attributes:
        api: its name in metrics and logs.
    """

    api: str

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """Parse a body.

        Args:
            body: the body.
            name: the last part of the path, if the shape's paths have one.
            most: how many entities the body may have.

        Raises:
            Refused: the body does not have this shape.
        """

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """Return the body of the response.

        Raises:
            Refused: the service can't be read as the body asks.
        """

    def refuse(self, refused: Refused) -> bytes:
        """Return the body of the response to a request that is refused."""


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body.

    Raises:
        Refused: the body is not JSON, or does not have the decoder's type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "the body is not valid JSON", hint="send JSON in UTF-8") from None


def invalid(error: msgspec.ValidationError, prefix: str = "") -> Refused:
    """Return the refusal of a body whose `prefix` has another type."""
    # The message holds types and a path. The path has names of the shape only, since it ends at the
    # first key of a mapping; so no value of the request is repeated.
    message, _, path = str(error).partition(" - at `$")
    field = f"{prefix}{path.rstrip('`')}".lstrip(".")
    return Refused(400, f"the body is not valid: {message}", field=field, hint="see /docs")


def check_count(count: int, most: int) -> None:
    """Refuse more entities than a request may have.

    Raises:
        Refused: there are more.
    """
    if count > most:
        raise Refused(400, f"a request can have at most {most} entities")


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
    """Make a structure of the service's features: it takes a third of the time of a dict."""
    fields = [f"f{position}" for position in range(len(names.positions))]
    return msgspec.defstruct(
        "Features", fields, rename=dict(zip(fields, names.positions, strict=True)), gc=False
    )


# Many vectors have the same statuses and times. To encode them for each vector would take a tenth
# of the request's time.
@lru_cache(maxsize=256)
def _statuses(names: Names, rows: Sequence[Status], nulls: Sequence[bool]) -> msgspec.Raw:
    return msgspec.Raw(encode(names.said(_STATUS, rows, nulls)))


@lru_cache(maxsize=256)
def _times(names: Names, since: Sequence[int | None]) -> msgspec.Raw:
    return msgspec.Raw(encode(names.effective(instant_text, since)))


class NamedMap:
    """The platform's own shape: everything by name."""

    api = "plane"
    _decoder = msgspec.json.Decoder(_Entities)

    def parse(self, body: bytes, name: str, most: int) -> Call:
        """See `Shape.parse`."""
        entities = decode(self._decoder, body).entities
        check_count(len(entities), most)
        return Call(name, entities, "entities[{n}].{name}")

    def write(self, call: Call, served: Served, vectors: FeatureVectors) -> bytes:
        """See `Shape.write`."""
        encoded = []
        for vector in vectors:
            names = vector.names
            statuses = _statuses(names, vector.row_statuses, vector.nulls)
            times = _times(names, vector.since)
            encoded.append(_Vector(_features(names)(*vector.listed), statuses, times))
        return encode(_Vectors(served.name, encoded))

    def refuse(self, refused: Refused) -> bytes:
        """See `Shape.refuse`."""
        return as_json(refused)
