"""Snowflake: names are upper case unless quoted, lists hold values of any type until they are cast.

A name that is all lower case is written in upper case, so that it means the same column as in
users' SQL without quotes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.base.types import MICROSECOND, is_decimal
from controlplane.sql.dialects.base import Dialect


class Snowflake(Dialect):
    """Snowflake's SQL."""

    name = "snowflake"
    quote_mark = '"'
    types: Mapping[str, str] = {
        "bool": "BOOLEAN",
        # Snowflake has no type of 64 bits: BIGINT is another name of NUMBER(38, 0).
        "int64": "NUMBER(38, 0)",
        "float64": "FLOAT",
        "string": "VARCHAR",
        "binary": "BINARY",
        "date": "DATE",
        # Without the 6, it would keep nanoseconds.
        "timestamp": "TIMESTAMP_NTZ(6)",
    }
    as_of_join = "match_condition"
    # Snowflake keeps a dropped permanent table for seven days (Fail-safe), and charges for it.
    transient = "TRANSIENT "
    # CREATE OR REPLACE VIEW drops the grants that administrators made.
    kept_grants = " COPY GRANTS"
    python_runtime = "3.11"
    wide_integers = True
    folds_case = False

    def open_name(self, variable: str, suffix: str = "") -> str:
        """See `Dialect.open_name`."""
        return super().open_name(f"{variable} | upper", suffix.upper())

    def open_text(self, variable: str) -> str:
        """See `Dialect.open_text`."""
        return super().open_text(rf"{variable} | replace('\\', '\\\\')")

    def text(self, value: str) -> str:
        """See `Dialect.text`: a backslash begins an escape."""
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    def bytes(self, value: bytes) -> str:
        """See `Dialect.bytes`."""
        return f"TO_BINARY('{value.hex()}', 'HEX')"

    def type(self, canonical: str) -> str:
        """See `Dialect.type`."""
        return (
            canonical.upper().replace("DECIMAL", "NUMBER")
            if is_decimal(canonical)
            else super().type(canonical)
        )

    def failing(self, message: str, canonical: str) -> str:
        """See `Dialect.failing`: no function raises an error, but a failing cast does."""
        return self.cast(message, canonical)

    def any_item(self, items: str, item: str, condition: str) -> str:
        """See `Dialect.any_item`."""
        return f"ARRAY_SIZE(FILTER({items}, {item} -> {condition})) > 0"

    def utc(self, ts: str) -> str:
        """See `Dialect.utc`."""
        return f"CAST(CONVERT_TIMEZONE('UTC', {ts}) AS TIMESTAMP_NTZ(6))"

    def instant(self, value: datetime | str) -> str:
        """See `Dialect.instant`."""
        return f"CAST({super().instant(value).removeprefix('TIMESTAMP ')} AS TIMESTAMP_NTZ(6))"

    def from_micros(self, x: str) -> str:
        """See `Dialect.from_micros`."""
        return f"CAST(TO_TIMESTAMP_NTZ({x}, 6) AS TIMESTAMP_NTZ(6))"

    def micros(self, ts: str) -> str:
        """See `Dialect.micros`."""
        return f"DATE_PART(EPOCH_MICROSECOND, {ts})"

    def plus_micros(self, ts: str, micros: str) -> str:
        """See `Dialect.plus_micros`."""
        return f"DATEADD(MICROSECOND, {micros}, {ts})"

    def floor(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """See `Dialect.floor`."""
        # MOD has the sign of its first argument: the second MOD is for times before 1970.
        micros, since = (
            step // MICROSECOND,
            self.micros(ts) + (f" - {phase // MICROSECOND}" if phase else ""),
        )
        return self.plus_micros(ts, f"-MOD(MOD({since}, {micros}) + {micros}, {micros})")

    def numbers(self, first: int, last: int) -> str:
        """See `Dialect.numbers`."""
        # SEQ4 alone may leave gaps.
        number = f"ROW_NUMBER() OVER (ORDER BY SEQ4()) - 1 + {first}"
        return f"SELECT {number} AS number FROM TABLE(GENERATOR(ROWCOUNT => {last - first + 1}))"

    def period_start(self, unit: str, number: str) -> str:
        """See `Dialect.period_start`."""
        first = "1970-01-05" if unit == "week" else "1970-01-01"
        return f"DATEADD({unit.upper()}, {number}, CAST('{first}' AS TIMESTAMP_NTZ(6)))"

    def greatest(self, *values: str) -> str:
        """See `Dialect.greatest`."""
        # GREATEST is null if one of its arguments is; the same is true of LEAST.
        return f"GREATEST_IGNORE_NULLS({', '.join(values)})"

    def least(self, *values: str) -> str:
        """See `Dialect.least`."""
        return f"LEAST_IGNORE_NULLS({', '.join(values)})"

    def not_a_number(self, x: str) -> str:
        """See `Dialect.not_a_number`."""
        # Snowflake has no isnan, and its NaN equals itself.
        return f"{x} = CAST('NaN' AS FLOAT)"

    def struct(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct`."""
        members = ", ".join(f"{self.text(name)}, {x}" for name, x in fields.items())
        # OBJECT_CONSTRUCT leaves out members that are null.
        return f"OBJECT_CONSTRUCT_KEEP_NULL({members})"

    def struct_type(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct_type`."""
        return f"OBJECT({', '.join(f'{name} {type_}' for name, type_ in fields.items())})"

    def member(self, x: str, name: str, member_type: str) -> str:
        """See `Dialect.member`."""
        return f"CAST(GET({x}, {self.text(name)}) AS {member_type})"

    def type_list(self, item_type: str) -> str:
        """See `Dialect.type_list`."""
        return f"ARRAY({item_type})"

    def array(self, items: Sequence[str]) -> str:
        """See `Dialect.array`."""
        return f"ARRAY_CONSTRUCT({', '.join(items)})"

    def loose(self, items: str) -> str:
        """See `Dialect.loose`."""
        return f"CAST({items} AS ARRAY)"

    def collect(self, x: str, order: Sequence[str], where: str) -> str:
        """See `Dialect.collect`: nulls are kept in lists of one."""
        # ARRAY_AGG drops nulls, but not arrays that hold a null.
        item = self.array([x])
        ordered = f"WITHIN GROUP (ORDER BY {', '.join(order)})"
        listed = f"ARRAY_AGG(CASE WHEN {where} THEN {item} END) {ordered}"
        return f"CASE WHEN COUNT(CASE WHEN {where} THEN 1 END) > 0 THEN {self.flatten(listed)} END"

    def collect_distinct(self, x: str) -> str:
        """See `Dialect.collect_distinct`."""
        return (
            f"CASE WHEN COUNT({x}) > 0 THEN ARRAY_AGG(DISTINCT {x}) WITHIN GROUP (ORDER BY {x}) END"
        )

    def flatten(self, items: str) -> str:
        """See `Dialect.flatten`."""
        return f"ARRAY_FLATTEN({items})"

    def first_of(self, items: str, n: int) -> str:
        """See `Dialect.first_of`."""
        return f"ARRAY_SLICE({items}, 0, {n})"

    def last_of(self, items: str, n: int) -> str:
        """See `Dialect.last_of`."""
        return f"ARRAY_SLICE({items}, GREATEST(ARRAY_SIZE({items}) - {n}, 0), ARRAY_SIZE({items}))"

    def item(self, items: str, position: str) -> str:
        """See `Dialect.item`."""
        return f"GET({items}, {position} - 1)"

    def last_item(self, items: str) -> str:
        """See `Dialect.last_item`."""
        return f"GET({items}, ARRAY_SIZE({items}) - 1)"

    def keep_first(self, items: str) -> str:
        """See `Dialect.keep_first`."""
        step = "CASE WHEN ARRAY_CONTAINS(b, a) THEN a ELSE ARRAY_APPEND(a, b) END"
        return f"REDUCE({items}, ARRAY_CONSTRUCT(), (a, b) -> {step})"

    def keep_last(self, items: str) -> str:
        """See `Dialect.keep_last`."""
        return f"REDUCE({items}, ARRAY_CONSTRUCT(), (a, b) -> ARRAY_APPEND(ARRAY_REMOVE(a, b), b))"

    def ascending(self, items: str) -> str:
        """See `Dialect.ascending`."""
        return f"ARRAY_SORT({items})"

    def distinct(self, items: str) -> str:
        """See `Dialect.distinct`."""
        return f"ARRAY_DISTINCT({items})"

    def length(self, items: str) -> str:
        """See `Dialect.length`."""
        return f"ARRAY_SIZE({items})"

    def fold(self, items: str, step: str, fields: Mapping[str, str]) -> str:
        """See `Dialect.fold`."""
        folded = f"CASE WHEN a IS NULL THEN b ELSE {step} END"
        return f"REDUCE({items}, CAST(NULL AS OBJECT), (a, b) -> {folded})"

    def exploded(
        self, table: str, where: str, column: str, columns: Sequence[str], fields: Mapping[str, str]
    ) -> str:
        """See `Dialect.exploded`."""
        parts = [
            f"{self.member('part.value', name, type_)} AS {self.quote(name)}"
            for name, type_ in fields.items()
        ]
        kept = ", ".join([*(f"t.{name}" for name in columns), *parts])
        flattened = f"LATERAL FLATTEN(INPUT => t.{column}) AS part"
        return f"SELECT {kept} FROM {table} AS t, {flattened} WHERE {where}"

    def hex(self, x: str) -> str:
        """See `Dialect.hex`."""
        return f"HEX_ENCODE({x})"

    def hash64(self, x: str, canonical: str) -> str:
        """See `Dialect.hash64`."""
        return (
            f"LEFT(MD5(CAST({self.micros(x) if canonical == 'timestamp' else x} AS VARCHAR)), 16)"
        )

    def hash_share(self, digits: str) -> str:
        """See `Dialect.hash_share`."""
        return f"(CAST(TO_NUMBER({digits}, 'XXXXXXXXXXXXXXXX') AS FLOAT) / 18446744073709551616.0)"

    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """See `Dialect.shard_of`."""
        return f"ABS(MOD(HASH({', '.join(keys)}), {shards}))"  # a hash has a sign

    def clock(self) -> str:
        """See `Dialect.clock`."""
        # SYSDATE is in UTC; CURRENT_TIMESTAMP is in the session's time zone.
        return "CAST(SYSDATE() AS TIMESTAMP_NTZ(6))"
