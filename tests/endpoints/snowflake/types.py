"""Types: from Snowflake's words to DuckDB's, and from DuckDB's to what a result says of its
columns."""

from __future__ import annotations

from typing import Any

import duckdb
from sqlglot import exp

from tests.endpoints.snowflake.errors import SnowflakeError, unsupported

Kind = exp.DType
LONGEST_TEXT = 16_777_216
LONGEST_BINARY = 8_388_608
INTEGERS = {Kind.INT, Kind.BIGINT, Kind.SMALLINT, Kind.TINYINT}
_PLAIN = {
    Kind.BOOLEAN: "BOOLEAN",
    Kind.FLOAT: "DOUBLE",
    Kind.DOUBLE: "DOUBLE",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPNTZ: "TIMESTAMP",
    Kind.TIMESTAMPLTZ: "TIMESTAMPTZ",
    Kind.BINARY: "BLOB",
    Kind.VARBINARY: "BLOB",
    Kind.VARIANT: "JSON",
    Kind.OBJECT: "JSON",
}


def duckdb_type(kind: exp.DataType) -> str:
    """DuckDB's type for one of Snowflake's; an integer has 38 digits."""
    what = kind.this
    if what in INTEGERS:
        return "HUGEINT"
    if what == Kind.DECIMAL:
        numbers = [int(part.this.this) for part in kind.expressions] or [38, 0]
        precision, scale = numbers[0], numbers[1] if len(numbers) > 1 else 0
        if not 1 <= precision <= 38 or scale > min(precision, 37):
            raise SnowflakeError(
                1003,
                "42000",
                "SQL compilation error:\nInvalid precision or scale in"
                f" NUMBER({precision},{scale})",
            )
        return "HUGEINT" if (precision, scale) == (38, 0) else f"DECIMAL({precision},{scale})"
    if what in (Kind.VARCHAR, Kind.TEXT, Kind.CHAR):
        return "VARCHAR"
    if what == Kind.ARRAY:
        if not kind.expressions:
            raise unsupported("ARRAY without a type of its items")
        return duckdb_type(kind.expressions[0]) + "[]"
    if what == Kind.OBJECT and kind.expressions:
        return "VARIANT"
    if what in _PLAIN:
        return _PLAIN[what]
    raise SnowflakeError(
        2040, "42601", f"SQL compilation error:\nUnsupported data type '{kind.sql('snowflake')}'."
    )


def longest(kind: exp.DataType) -> int | None:
    """The letters that a text type allows; None where it sets no limit of its own."""
    if kind.this in (Kind.VARCHAR, Kind.TEXT, Kind.CHAR) and kind.expressions:
        size = int(kind.expressions[0].this.this)
        return size if size < LONGEST_TEXT else None
    return None


def in_words(kind: duckdb.sqltypes.DuckDBPyType) -> str:
    """Snowflake's words for a DuckDB type, as DESCRIBE TABLE has them."""
    described = column("", kind)
    return _words(described)


def _words(described: dict[str, Any]) -> str:
    match described["type"]:
        case "fixed":
            return f"NUMBER({described['precision']},{described['scale']})"
        case "real":
            return "FLOAT"
        case "text":
            return f"VARCHAR({described['length']})"
        case "binary":
            return f"BINARY({described['length']})"
        case "array":
            return f"ARRAY({_words(described['fields'][0])})"
        case "timestamp_ntz" | "timestamp_ltz" as kind:
            return f"{kind.upper()}({described['scale']})"
        case kind:
            return str(kind).upper()


def column(name: str, kind: Any) -> dict[str, Any]:
    """What a result says of a column of a DuckDB type."""
    described: dict[str, Any] = dict.fromkeys(
        ("length", "byteLength", "precision", "scale", "collation")
    )
    described |= {
        "name": name,
        "nullable": True,
        "database": "",
        "schema": "",
        "table": "",
        "type": kind.id,
    }
    match kind.id:
        case (
            "tinyint"
            | "smallint"
            | "integer"
            | "bigint"
            | "hugeint"
            | "utinyint"
            | "usmallint"
            | "uinteger"
            | "ubigint"
        ):
            return described | {"type": "fixed", "precision": 38, "scale": 0}
        case "decimal":
            digits = dict(kind.children)
            return described | {
                "type": "fixed",
                "precision": digits["precision"],
                "scale": digits["scale"],
            }
        case "double" | "float":
            return described | {"type": "real"}
        case "varchar" | "sqlnull" | "null" if str(kind) != "JSON":
            return described | {"type": "text", "length": LONGEST_TEXT, "byteLength": LONGEST_TEXT}
        case "blob":
            return described | {
                "type": "binary",
                "length": LONGEST_BINARY,
                "byteLength": LONGEST_BINARY,
            }
        case "boolean" | "date":
            return described
        case "timestamp":
            return described | {"type": "timestamp_ntz", "precision": 0, "scale": 6}
        case "timestamp with time zone":
            return described | {"type": "timestamp_ltz", "precision": 0, "scale": 6}
        case "list":
            [(_, item)] = kind.children
            return described | {"type": "array", "fields": [column("", item)]}
        case _ if str(kind) == "JSON":
            return described | {"type": "variant"}
        case "variant":
            return described | {"type": "object"}
    raise unsupported(f"results of DuckDB's type {kind}")
