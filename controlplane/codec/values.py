"""Values: MessagePack arrays `[write_version, effective, feature, ...]`.

How a feature of each type stands in a value, and what Python reads:

| type        | MessagePack                                         | Python   |
|-------------|-----------------------------------------------------|----------|
| bool        | bool                                                | bool     |
| int64       | int, in its shortest form                           | int      |
| float64     | float 64, NaN and infinities included               | float    |
| string      | str                                                 | str      |
| binary      | bin                                                 | bytes    |
| date        | int, days since 1970-01-01                          | date     |
| timestamp   | int, microseconds since 1970-01-01T00:00:00Z        | datetime |
| decimal     | str, plain notation with all digits of its scale    | Decimal  |
| array<type> | array of the same                                   | list     |

Null is nil and None, in arrays too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec

from controlplane.base.types import from_micros, is_decimal, is_list, item_type
from controlplane.codec.layout import Layout
from controlplane.errors import PermanentError

_INT64 = b"\xd3"
_EPOCH_DAY = date(1970, 1, 1)
_TOMBSTONE_DECODER = msgspec.msgpack.Decoder(tuple[int, int])
_STORED: dict[str, Any] = {"bool": bool, "float64": float, "string": str, "binary": bytes}


class Decoded(NamedTuple):
    """A value as it was read.

    Args:
        write_version: orders writers of one key.
        effective_us: the earliest moment at which it can be served, in microseconds since the
            epoch.
        values: of each feature in the order of the layout; None is a tombstone.
    """

    write_version: int
    effective_us: int
    values: tuple[Any, ...] | None


def tombstone(write_version: int, effective_us: int) -> bytes:
    """The value that says there is none."""
    return value_head(0, write_version) + stamp(effective_us)


def value_head(count: int, write_version: int) -> bytes:
    """The beginning of a value of `count` features: the array's header and the write version."""
    elements = count + 2
    header = bytes([0x90 | elements]) if elements <= 15 else b"\xdc" + elements.to_bytes(2, "big")
    return header + stamp(write_version)


def stamp(number: int) -> bytes:
    """An integer as MessagePack's int64, never shorter."""
    return _INT64 + number.to_bytes(8, "big", signed=True)


def write_version_of(value: bytes) -> int:
    """The write version of a value.

    Raises:
        PermanentError: it is no value of this format.
    """
    start = 4 if value[:1] == b"\xdc" else 2
    if value[start - 1 : start] != _INT64 or len(value) < start + 17:
        raise _foreign()
    return int.from_bytes(value[start : start + 8], "big", signed=True)


def decode(value: bytes, layout: Layout) -> Decoded:
    """What `value` says.

    Raises:
        PermanentError: it is no value of this layout.
    """
    [row] = decoder(layout)([value])
    version, effective_us, *found = row or ()
    return Decoded(version, effective_us, tuple(found) or None)


@lru_cache
def decoder(layout: Layout) -> Callable[[Sequence[bytes | None]], list[Sequence[Any] | None]]:
    """The function that decodes values of a layout into rows: write version, effective time,
    features.

    A row of two is a tombstone; None stays None. The function raises PermanentError for what is no
    value of the layout.
    """
    whole = msgspec.msgpack.Decoder(
        GenericAlias(tuple, (int, int, *(_stored(field.type) for field in layout.fields)))
    )
    decode_whole: Callable[[bytes], Sequence[Any]] = whole.decode
    reads = [(place, _read(field.type)) for place, field in enumerate(layout.fields, start=2)]
    converted = [(place, read) for place, read in reads if read is not None]

    def decode_row(value: bytes) -> Sequence[Any]:
        try:
            row = list(decode_whole(value))
            for place, read in converted:
                if row[place] is not None:
                    row[place] = read(row[place])
        except (msgspec.DecodeError, ValueError, ArithmeticError):
            return _decode_tombstone(value)  # rare, so that it is looked for last
        return row

    def decode_rows(values: Sequence[bytes | None]) -> list[Sequence[Any] | None]:
        return [None if value is None else decode_row(value) for value in values]

    def decode_plain(values: Sequence[bytes | None]) -> list[Sequence[Any] | None]:
        try:
            return [None if value is None else decode_whole(value) for value in values]
        except (msgspec.DecodeError, ValueError):
            return decode_rows(values)

    return decode_rows if converted else decode_plain


def _decode_tombstone(value: bytes) -> tuple[int, int]:
    try:
        return _TOMBSTONE_DECODER.decode(value)
    except (msgspec.DecodeError, ValueError):
        raise _foreign() from None


def _foreign() -> PermanentError:
    return PermanentError(
        "the online store holds a value that was not written in the layout of its view",
        hint="something else writes under this key, or damaged it: sync the view again",
    )


def _stored(kind: str) -> Any:  # noqa: ANN401 - a type expression
    if is_list(kind):
        return GenericAlias(list, (_stored(_item(kind)),)) | None
    return _STORED.get(kind, str if is_decimal(kind) else int) | None


def _read(kind: str) -> Callable[[Any], Any] | None:
    """From MessagePack's form to Python's; None where they are the same."""
    if kind == "date":
        return lambda days: _EPOCH_DAY + timedelta(days)
    if kind == "timestamp":
        return from_micros
    if is_decimal(kind):
        return Decimal
    if is_list(kind) and (read := _read(_item(kind))):
        return lambda items: [None if item is None else read(item) for item in items]
    return None


def _item(kind: str) -> str:
    return item_type(kind)
