"""Snowflake's types in the spelling of `controlplane.base.types`, and its rows as Arrow columns of
those types.

An array with a declared item type arrives as an Arrow list, or as JSON text, as the account is set
up; one without stays the JSON text that Snowflake gives.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from controlplane.base.types import is_list, item_type
from controlplane.codec.arrow import arrow_type

# The driver's numbers of types, in order.
_TYPE_CODES = (
    "NUMBER", "FLOAT", "VARCHAR", "DATE", "TIMESTAMP_NTZ", "VARIANT", "TIMESTAMP_LTZ",
    "TIMESTAMP_TZ", "TIMESTAMP_NTZ", "OBJECT", "ARRAY", "BINARY", "TIME", "BOOLEAN",
    "GEOGRAPHY", "GEOMETRY", "VECTOR", "MAP", "FILE", "INTERVAL YEAR TO MONTH",
    "INTERVAL DAY TO SECOND",
)  # fmt: skip
_CANONICAL = {
    "BOOLEAN": "bool",
    "FLOAT": "float64",
    "VARCHAR": "string",
    "BINARY": "binary",
    "DATE": "date",
    "TIMESTAMP_NTZ": "timestamp",
    "TIMESTAMP_LTZ": "timestamp",
    "TIMESTAMP_TZ": "timestamp",
}
_JSON_WORDS = re.compile(rb'"(?:[^"\\]|\\.)*"|undefined')


class Described(Protocol):
    """What the driver says of a column or of an array's items."""

    @property
    def type_code(self) -> int:
        """Its type, as a number of the driver."""

    @property
    def precision(self) -> int | None:
        """Digits of a number."""

    @property
    def scale(self) -> int | None:
        """Digits after the point of a number."""

    @property
    def fields(self) -> Sequence[Described] | None:
        """What a structured type holds."""


def plain_name(name: str) -> str:
    """A column's name in rows: what Snowflake stores in capitals was written without quotes."""
    return name.lower() if name == name.upper() else name


def column_name(name: str) -> str:
    """A column's name as definitions spell it: one that is stored in small letters keeps its
    quotes, since without them it would be another name."""
    return f'"{name}"' if name == name.lower() != name.upper() else plain_name(name)


def canonical_type(text: str) -> str:
    """A type in Snowflake's words in the spelling of `base.types`.

    One without such a spelling as it is.
    """
    parts = re.fullmatch(r"(\w+)(?:\((.*)\))?", text)
    if parts is None:
        return text
    kind, inside = parts[1], parts[2]
    if kind == "NUMBER" and inside:
        precision, scale = (int(number) for number in inside.split(","))
        return f"decimal({precision},{scale})" if scale else "int64"
    if kind == "ARRAY" and inside:
        item_text = inside.removesuffix(" NOT NULL")
        item = canonical_type(item_text)
        return text if item == item_text else f"array<{item}>"
    return _CANONICAL.get(kind, text)


def described_type(column: Described) -> str:
    """A column's type in the spelling of `controlplane.base.types`, or else in Snowflake's
    words."""
    return canonical_type(_in_words(column))


def _in_words(column: Described) -> str:
    kind = _TYPE_CODES[column.type_code]
    if kind == "NUMBER":
        return f"NUMBER({column.precision},{column.scale})"
    if kind == "ARRAY" and column.fields:
        return f"ARRAY({_in_words(column.fields[0])})"
    return kind


def normalised(table: pa.Table, columns: Sequence[tuple[str, str]]) -> pa.Table:
    """The rows with the names and canonical types of `columns`, which stand in the table's order.

    Raises:
        pyarrow.ArrowInvalid: a value has no place in its type; the message says which column's.
    """
    arrays, fields = [], []
    for (name, kind), array in zip(columns, table.columns, strict=True):
        try:
            arrays.append(_cast(array, kind))
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(f"column {name!r} of type {kind}: {error}") from None
        fields.append(pa.field(name, arrays[-1].type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _cast(array: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    wanted = arrow_type(kind)
    if wanted is None or array.type == wanted:
        return array
    if is_list(kind) and not pa.types.is_list(array.type):
        return pa.chunked_array(
            [_from_json(chunk, item_type(kind)) for chunk in array.chunks], wanted
        )
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = array.cast(pa.timestamp("us", "UTC"), safe=False)
    # What is finer than a microsecond is cut off; of all other types nothing is.
    return array.cast(wanted, safe="timestamp" not in kind)


def _from_json(texts: pa.Array, item: str) -> pa.Array:
    """Arrays that came as JSON text, as lists.

    An item that is null may stand there as `undefined`.
    """
    if "binary" in item:
        raise pa.ArrowInvalid(
            "arrays of bytes that come as JSON cannot be read: cast it to a text in the query"
        )
    wanted = arrow_type(f"array<{item}>")
    read = arrow_type(re.sub(r"[^<>]+(?=>+$)", "string", f"array<{item}>"))
    if not len(texts):
        return pa.array([], wanted)
    texts = pc.replace_substring_regex(pc.fill_null(texts, "null"), r"\s*\n\s*", "")
    if "string" not in item:
        # Every word in quotes: JSON has none for what is no number.
        texts = pc.replace_substring_regex(
            pc.replace_substring(texts, '"', ""), r"\s*([\[\],])\s*", r"\1"
        )
        texts = pc.replace_substring_regex(texts, r"([^\[\],]+)", '"\\1"')
        texts = pc.replace_substring_regex(texts, '"(?:null|undefined)"', "null")
    lines = pc.binary_join_element_wise('{"v":', texts, "}\n", "")
    text = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "")[0].as_py().encode()
    if "string" in item:
        text = _JSON_WORDS.sub(lambda word: b"null" if word[0] == b"undefined" else word[0], text)
    rows = pyarrow.json.read_json(
        io.BytesIO(text),
        read_options=pyarrow.json.ReadOptions(block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=pa.schema([("v", read)])),
    )
    return rows.column("v").combine_chunks().cast(wanted)
