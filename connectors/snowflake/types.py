"""Translates Snowflake's types to those of `base.types`, and casts its rows to them.

An array with a declared item type arrives as an Arrow list or as JSON text, depending on a setting
of the account. An array without one stays the JSON text that Snowflake returns.
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
    """The driver's description of a column or of an array's items."""

    @property
    def type_code(self) -> int:
        """The number of its type, an index of `_TYPE_CODES`."""

    @property
    def precision(self) -> int | None:
        """The number of digits of a decimal."""

    @property
    def scale(self) -> int | None:
        """The number of digits of a decimal after the point."""

    @property
    def fields(self) -> Sequence[Described] | None:
        """The parts of a structured type, such as an array's items."""


def plain_name(name: str) -> str:
    """Return a column's name in rows: Snowflake stores a name without quotes in capitals."""
    return name.lower() if name == name.upper() else name


def column_name(name: str) -> str:
    """Return a column's name as definitions spell it.

    A name that Snowflake stores in lower case keeps its quotes: without them it would be another.
    """
    return f'"{name}"' if name == name.lower() != name.upper() else plain_name(name)


def canonical_type(text: str) -> str:
    """Return the name in `base.types` of a Snowflake type; types without one stay unchanged."""
    parts = re.fullmatch(r"(\w+)(?:\((.*)\))?", text)
    if parts is None:
        return text
    type_name, inside = parts[1], parts[2]
    if type_name == "NUMBER" and inside:
        precision, scale = (int(number) for number in inside.split(","))
        return f"decimal({precision},{scale})" if scale else "int64"
    if type_name == "ARRAY" and inside:
        item_text = inside.removesuffix(" NOT NULL")
        item = canonical_type(item_text)
        return text if item == item_text else f"array<{item}>"
    return _CANONICAL.get(type_name, text)


def described_type(column: Described) -> str:
    """Return a column's type, as `canonical_type` does."""
    return canonical_type(_snowflake_type(column))


def _snowflake_type(column: Described) -> str:
    type_name = _TYPE_CODES[column.type_code]
    if type_name == "NUMBER":
        return f"NUMBER({column.precision},{column.scale})"
    if type_name == "ARRAY" and column.fields:
        return f"ARRAY({_snowflake_type(column.fields[0])})"
    return type_name


def normalised(table: pa.Table, columns: Sequence[tuple[str, str]]) -> pa.Table:
    """Return the rows with the names and canonical types of `columns`, in the table's order.

    Raises:
        pyarrow.ArrowInvalid: a value doesn't fit its type; the message names the column.
    """
    arrays, fields = [], []
    for (name, type_name), array in zip(columns, table.columns, strict=True):
        try:
            arrays.append(_cast(array, type_name))
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(f"column {name!r} of type {type_name}: {error}") from None
        fields.append(pa.field(name, arrays[-1].type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _cast(array: pa.ChunkedArray, type_name: str) -> pa.ChunkedArray:
    target = arrow_type(type_name)
    if target is None or array.type == target:
        return array
    if is_list(type_name) and not pa.types.is_list(array.type):
        return pa.chunked_array(
            [_from_json(chunk, item_type(type_name)) for chunk in array.chunks], target
        )
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = array.cast(pa.timestamp("us", "UTC"), safe=False)
    # Digits of a timestamp beyond microseconds are cut off; no other cast may lose anything.
    return array.cast(target, safe="timestamp" not in type_name)


def _from_json(texts: pa.Array, item: str) -> pa.Array:
    """Parse arrays that arrive as JSON texts; a null item may be written as `undefined`."""
    if "binary" in item:
        raise pa.ArrowInvalid(
            "arrays of bytes that come as JSON cannot be read: cast it to a text in the query"
        )
    target = arrow_type(f"array<{item}>")
    read = arrow_type(re.sub(r"[^<>]+(?=>+$)", "string", f"array<{item}>"))
    if not len(texts):
        return pa.array([], target)
    texts = pc.replace_substring_regex(pc.fill_null(texts, "null"), r"\s*\n\s*", "")
    if "string" not in item:
        # Put every item in quotes and parse it as a text: JSON has no NaN and no infinity.
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
    return rows.column("v").combine_chunks().cast(target)
