"""Values: MessagePack arrays `[write_version, effective, feature, ...]`.

How a feature of each type is written in a value, and what Python reads:

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
    """A decoded value.

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
    """Write the value of a removed key."""
    return value_head(0, write_version) + stamp(effective_us)


def value_head(count: int, write_version: int) -> bytes:
    """Write the beginning of a value of `count` features: array header and write version."""
    elements = count + 2
    header = bytes([0x90 | elements]) if elements <= 15 else b"\xdc" + elements.to_bytes(2, "big")
    return header + stamp(write_version)


def stamp(number: int) -> bytes:
    """Write an integer as MessagePack's int64, never in a shorter form."""
    return _INT64 + number.to_bytes(8, "big", signed=True)


def write_version_of(value: bytes) -> int:
    """Return the write version of a value.

    Raises:
        PermanentError: it is not a value of this format.
    """
    start = 4 if value[:1] == b"\xdc" else 2
    if value[start - 1 : start] != _INT64 or len(value) < start + 17:
        raise _foreign()
    return int.from_bytes(value[start : start + 8], "big", signed=True)


def decode(value: bytes, layout: Layout) -> Decoded:
    """Decode one value.

    Raises:
        PermanentError: it is not a value of this layout.
    """
    [row] = decoder(layout)([value])
    version, effective_us, *features = row or ()
    return Decoded(version, effective_us, tuple(features) or None)


@lru_cache
def decoder(layout: Layout) -> Callable[[Sequence[bytes | None]], list[Sequence[Any] | None]]:
    """Return the function that decodes values of a layout into rows.

    A row is the write version, the effective time and the features; without features it is a
    tombstone. None stays None. The function raises PermanentError for bytes that are not a value of
    the layout.
    """
    row_decoder = msgspec.msgpack.Decoder(
        GenericAlias(tuple, (int, int, *(_stored(field.type) for field in layout.fields)))
    )
    decode_whole: Callable[[bytes], Sequence[Any]] = row_decoder.decode
    reads = [(index, _read(field.type)) for index, field in enumerate(layout.fields, start=2)]
    converted = [(index, read) for index, read in reads if read is not None]

    def decode_row(value: bytes) -> Sequence[Any]:
        try:
            row = list(decode_whole(value))
            for index, read in converted:
                if row[index] is not None:
                    row[index] = read(row[index])
        except (msgspec.DecodeError, ValueError, ArithmeticError):
            return _decode_tombstone(value)  # rare, so it is tried last
        return row

    def decode_rows(values: Sequence[bytes | None]) -> list[Sequence[Any] | None]:
        return [None if value is None else decode_row(value) for value in values]

    # Without dates, timestamps and decimals nothing is converted: a value costs one call into C.
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
        hint="another program wrote to this key, or it is damaged: sync the view again",
    )


def _stored(value_type: str) -> Any:  # noqa: ANN401 - a type expression
    if is_list(value_type):
        return GenericAlias(list, (_stored(item_type(value_type)),)) | None
    return _STORED.get(value_type, str if is_decimal(value_type) else int) | None


def _read(value_type: str) -> Callable[[Any], Any] | None:
    """Return the conversion from MessagePack's form to Python's; None if there is none."""
    if value_type == "date":
        return lambda days: _EPOCH_DAY + timedelta(days)
    if value_type == "timestamp":
        return from_micros
    if is_decimal(value_type):
        return Decimal
    if is_list(value_type) and (read := _read(item_type(value_type))):
        return lambda items: [None if item is None else read(item) for item in items]
    return None
