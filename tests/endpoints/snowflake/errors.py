"""Errors as Snowflake words and numbers them."""

from __future__ import annotations

import re

import duckdb

from tests.endpoints.snowflake.names import readable


class SnowflakeError(Exception):
    """An answer that is an error: number, SQL state, text."""

    def __init__(self, number: int, state: str, text: str) -> None:
        super().__init__(text)
        self.number, self.state, self.text = number, state, text


def unsupported(what: str) -> SnowflakeError:
    return SnowflakeError(2, "0A000", f"Unsupported feature '{what}'.")


def unknown_function(name: str) -> SnowflakeError:
    return SnowflakeError(2140, "42601", f"SQL compilation error:\nUnknown function {name}")


def missing_object(kind: str, name: str) -> SnowflakeError:
    return SnowflakeError(
        2003, "42S02", f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized."
    )


def lock_timeout(table: str) -> SnowflakeError:
    text = (
        f"Statement waited for a lock on table '{table}' longer than LOCK_TIMEOUT and was aborted."
    )
    return SnowflakeError(625, "57014", text)


def cancelled() -> SnowflakeError:
    return SnowflakeError(604, "57014", "SQL execution canceled")


def timed_out(seconds: int) -> SnowflakeError:
    text = (
        f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was"
        " canceled."
    )
    return SnowflakeError(630, "57014", text)


def from_duckdb(error: duckdb.Error) -> SnowflakeError:
    """DuckDB's error as the one that Snowflake gives in its place."""
    text = readable(re.sub(r"^[A-Z]\w*( \w+){0,2} Error: ", "", str(error).strip().splitlines()[0]))
    compiling = f"SQL compilation error:\n{text}"
    if "Division by zero" in text:
        return SnowflakeError(100051, "22012", "Division by zero")
    if isinstance(error, duckdb.InterruptException):
        return cancelled()
    if raised := re.search(r"executing the UDF: (.*)", text):
        where = 'Traceback (most recent call last):\n  File "_udf_code.py", line 1, in plane_value'
        return SnowflakeError(100357, "P0000", f"Python Interpreter Error:\n{where}\n{raised[1]}")
    if isinstance(error, duckdb.CatalogException):
        if "already exists" in text:
            return SnowflakeError(2002, "42710", compiling)
        if "Function with name" in text:
            return unknown_function(text)
        found = re.search(r"(Table|View|Schema) with name (\S+) does not exist", text)
        return missing_object("Object", found[2].replace('"', "") if found else text)
    if isinstance(error, duckdb.BinderException):
        if found := re.search(
            r'[Cc]olumn "([^"]+)" (?:was )?not found|does not have a column named "([^"]+)"', text
        ):
            name = found[1] or found[2]
            return SnowflakeError(
                904,
                "42000",
                f"SQL compilation error: error line 1 at position 0\ninvalid identifier '{name}'",
            )
        if "GROUP BY" in text:
            return SnowflakeError(979, "42601", compiling)
        return SnowflakeError(2016, "22000", compiling)
    if isinstance(error, duckdb.ParserException):
        return SnowflakeError(1003, "42000", compiling)
    if isinstance(error, duckdb.ConstraintException):
        if "NOT NULL" in text:
            return SnowflakeError(100072, "22000", "NULL result in a non-nullable column")
        return SnowflakeError(100078, "22000", "String is too long and would be truncated")
    if isinstance(error, duckdb.ConversionException):
        return _conversion(text)
    if isinstance(error, duckdb.InvalidInputException):
        return SnowflakeError(100069, "22000", text)
    if isinstance(error, duckdb.OutOfRangeException):
        if re.match(r"Overflow in (HUGEINT addition|SUM of DECIMAL)", text):
            kind = "type FIXED[SB16](38,0){nullable}"
            return SnowflakeError(
                100046, "22003", f"Number out of representable range: {kind}, value 1.8e+38"
            )
        return SnowflakeError(100132, "22003", f"Numeric value is out of range: {text}")
    return SnowflakeError(
        603, "XX000", f"SQL execution internal error: {type(error).__name__}: {text}"
    )


def _conversion(text: str) -> SnowflakeError:
    lowered = text.lower()
    if "date" in lowered and "timestamp" not in lowered:
        return SnowflakeError(100040, "22007", f"Date value is not recognized: {text}")
    if "timestamp" in lowered:
        return SnowflakeError(100035, "22007", f"Timestamp is not recognized: {text}")
    if "boolean" in lowered or "bool" in lowered:
        return SnowflakeError(100037, "22018", f"Boolean value is not recognized: {text}")
    if "range" in lowered or "could not cast value" in lowered:
        return SnowflakeError(100132, "22003", f"Numeric value is out of range: {text}")
    return SnowflakeError(100038, "22018", f"Numeric value is not recognized: {text}")
