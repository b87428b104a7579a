"""DuckDB, the embedded warehouse: timestamps are naive, lists and structures typed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import PurePath

from controlplane.base.types import EPOCH, MICROSECOND
from controlplane.sql.dialects.base import Dialect

_WIDE = ("HUGEINT", "UHUGEINT")
# Only the types are detected: DuckDB's guesses of a CSV file's form drop its first lines. In the
# files that this package writes, an empty field is null, and `""` is an empty text.
_CSV = (
    "header = true, skip = 0, quote = '\"', escape = '\"', comment = '', strict_mode = true,"
    " null_padding = false, allow_quoted_nulls = false"
)
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".json": "read_json",
    ".ndjson": "read_json",
    ".jsonl": "read_json",
}
_WILDCARD = re.compile(r"[\[*?]")


class DuckDB(Dialect):
    """DuckDB's SQL."""

    name = "duckdb"
    quote_mark = '"'
    types: Mapping[str, str] = {
        "bool": "BOOLEAN",
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "string": "VARCHAR",
        "binary": "BLOB",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    }
    transactional_ddl = True
    replaces_history = True
    window_frames = True
    rollups = True
    as_of_join = "on"
    ordered_tables = True
    laterals = True
    has_rights = False

    def commented_view(self, view: str, comment: str, columns: Mapping[str, str]) -> str:
        """See `Dialect.commented_view`: comments are statements of their own."""
        return f"CREATE OR REPLACE VIEW {view} AS"

    def view_comments(self, view: str, comment: str, columns: Mapping[str, str]) -> Sequence[str]:
        """See `Dialect.view_comments`."""
        return [
            f"COMMENT ON VIEW {view} IS {comment}",
            *(
                f"COMMENT ON COLUMN {view}.{name} IS {text}"
                for name, text in columns.items()
                if text
            ),
        ]

    def function_name(self, schema: str, name: str) -> str:
        """See `Dialect.function_name`: functions in Python lie in no schema."""
        return self.quote(name)

    def bytes(self, value: bytes) -> str:
        """See `Dialect.bytes`."""
        return f"unhex({self.text(value.hex())})"

    def failing(self, message: str, canonical: str) -> str:
        """See `Dialect.failing`."""
        return f"error({message})"

    def endless(self, ts: str) -> str:
        """See `Dialect.endless`."""
        return f"isinf({ts})"

    def any_item(self, items: str, item: str, condition: str) -> str:
        """See `Dialect.any_item`."""
        return f"len(list_filter({items}, lambda {item}: {condition})) > 0"

    def utc(self, ts: str) -> str:
        """See `Dialect.utc`: nanoseconds are cut off.

        A cast would round them, and move the last nanoseconds of a day into the next day.
        """
        # DuckDB's planner removes the CASE where the column's type decides it.
        micros = f"epoch_ns({ts}) // 1000 - CAST(epoch_ns({ts}) % 1000 < 0 AS BIGINT)"
        has_nanos = f"typeof({ts}) = 'TIMESTAMP_NS' AND isfinite({ts})"
        return (
            f"CASE WHEN {has_nanos} THEN make_timestamp({micros}) ELSE CAST({ts} AS TIMESTAMP) END"
        )

    def comparable(self, ts: str) -> str:
        """See `Dialect.comparable`."""
        # Sessions are in UTC: a timestamp of any type compares with a rendered instant as it is.
        return ts

    def from_micros(self, x: str) -> str:
        """See `Dialect.from_micros`."""
        return f"make_timestamp({x})"

    def micros(self, ts: str) -> str:
        """See `Dialect.micros`."""
        return f"epoch_us({ts})"

    def plus(self, ts: str, duration: timedelta) -> str:
        """See `Dialect.plus`."""
        if not duration:
            return ts
        sign = "+" if duration > timedelta(0) else "-"
        return f"{ts} {sign} to_microseconds({abs(duration) // MICROSECOND})"

    def plus_micros(self, ts: str, micros: str) -> str:
        """See `Dialect.plus_micros`."""
        return f"{ts} + to_microseconds({micros})"

    def floor(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """See `Dialect.floor`."""
        # With an origin: by default, time_bucket aligns to Monday, 3 January 2000.
        width, origin = f"to_microseconds({step // MICROSECOND})", self.instant(EPOCH + phase)
        return f"time_bucket({width}, {ts}, {origin})"

    def numbers(self, first: int, last: int) -> str:
        """See `Dialect.numbers`."""
        return f"SELECT unnest(range({first}, {last + 1})) AS number"

    def period_start(self, unit: str, number: str) -> str:
        """See `Dialect.period_start`."""
        first, step = {
            "day": ("01", f"to_days({number}::INTEGER)"),
            "week": ("05", f"to_days(7 * ({number})::INTEGER)"),
        }.get(unit, ("01", f"to_months(({number})::INTEGER)"))
        return f"TIMESTAMP '1970-01-{first}' + {step}"

    def filtered(self, function: str, x: str, condition: str) -> str:
        """See `Dialect.filtered`."""
        return f"{function}({x})" + (f" FILTER (WHERE {condition})" if condition else "")

    def finite(self, x: str) -> str:
        """See `Dialect.finite`."""
        return f"isfinite({x})"

    def in_period(self, calendar: str, alias: str, moment: str, *, outer: bool = False) -> str:
        """See `Dialect.in_period`."""
        join = "ASOF LEFT JOIN" if outer else "ASOF JOIN"
        return f"{join} {calendar} AS {alias} ON {moment} >= {alias}.starts_at"

    def struct(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct`."""
        return (
            f"struct_pack({', '.join(f'{self.quote(name)} := {x}' for name, x in fields.items())})"
        )

    def struct_type(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct_type`."""
        listed = ", ".join(f"{self.quote(name)} {type_}" for name, type_ in fields.items())
        return f"STRUCT({listed})"

    def type_list(self, item_type: str) -> str:
        """See `Dialect.type_list`."""
        return f"{item_type}[]"

    def array(self, items: Sequence[str]) -> str:
        """See `Dialect.array`."""
        return f"[{', '.join(items)}]"

    def collect(self, x: str, order: Sequence[str], where: str) -> str:
        """See `Dialect.collect`."""
        return f"list({x} ORDER BY {', '.join(order)}) FILTER (WHERE {where})"

    def collect_distinct(self, x: str) -> str:
        """See `Dialect.collect_distinct`."""
        return f"list(DISTINCT {x} ORDER BY {x}) FILTER (WHERE {x} IS NOT NULL)"

    def flatten(self, items: str) -> str:
        """See `Dialect.flatten`."""
        return f"flatten({items})"

    def first_of(self, items: str, n: int) -> str:
        """See `Dialect.first_of`."""
        return f"({items})[:{n}]"

    def last_of(self, items: str, n: int) -> str:
        """See `Dialect.last_of`."""
        return f"({items})[-{n}:]"

    def item(self, items: str, position: str) -> str:
        """See `Dialect.item`."""
        return f"({items})[{position}]"

    def last_item(self, items: str) -> str:
        """See `Dialect.last_item`."""
        return f"({items})[-1]"

    def keep_first(self, items: str) -> str:
        """See `Dialect.keep_first`."""
        return f"list_filter({items}, lambda x, i: NOT list_contains(({items})[:i - 1], x))"

    def keep_last(self, items: str) -> str:
        """See `Dialect.keep_last`."""
        return f"list_filter({items}, lambda x, i: NOT list_contains(({items})[i + 1:], x))"

    def ascending(self, items: str) -> str:
        """See `Dialect.ascending`."""
        return f"list_sort({items})"

    def distinct(self, items: str) -> str:
        """See `Dialect.distinct`."""
        return f"list_distinct({items})"

    def length(self, items: str) -> str:
        """See `Dialect.length`."""
        return f"len({items})"

    def fold(self, items: str, step: str, fields: Mapping[str, str]) -> str:
        """See `Dialect.fold`."""
        return f"list_reduce({items}, lambda a, b: {step})"

    def exploded(
        self, table: str, where: str, column: str, columns: Sequence[str], fields: Mapping[str, str]
    ) -> str:
        """See `Dialect.exploded`."""
        kept = ", ".join([*columns, *(f"part.{self.quote(name)}" for name in fields)])
        moved = ", ".join([*(f"t.{name}" for name in columns), f"unnest(t.{column}) AS part"])
        return f"SELECT {kept} FROM (SELECT {moved} FROM {table} AS t WHERE {where}) AS unnested"

    def buckets_type(self) -> str:
        """See `Dialect.buckets_type`."""
        return "MAP(BIGINT, UBIGINT)"

    def buckets(self, code: str, where: str) -> str:
        """See `Dialect.buckets`."""
        return f"histogram({code}) FILTER (WHERE {where})"

    def bucket_at(self, sketches: str, q: float) -> str:
        """See `Dialect.bucket_at`."""
        entries = f"flatten(list_transform({sketches}, lambda m: map_entries(m)))"
        counted = (
            f"list_transform({self.ascending(entries)}, "
            "lambda e: struct_pack(seen := CAST(e.value AS DOUBLE), at := e.key))"
        )
        total = f"list_sum(list_transform({entries}, lambda e: CAST(e.value AS DOUBLE)))"
        rank = f"({q!r} * ({total} - 1))"
        return (
            f"(list_reduce({counted}, lambda a, e: CASE WHEN a.seen > {rank} THEN a "
            "ELSE struct_pack(seen := a.seen + e.seen, at := e.at) END)).at"
        )

    def hash64(self, x: str, canonical: str) -> str:
        """See `Dialect.hash64`."""
        text = f"CAST({x} AS VARCHAR)"
        # As microseconds: warehouses write a timestamp as different texts.
        if canonical == "timestamp":
            text = f"CAST(epoch_us({x}) AS VARCHAR)"
        return f"md5({text})[:16]"

    def hash_share(self, digits: str) -> str:
        """See `Dialect.hash_share`."""
        return f"(CAST(CAST('0x' || {digits} AS UBIGINT) AS DOUBLE) / 18446744073709551616.0)"

    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """See `Dialect.shard_of`."""
        return f"(hash({', '.join(keys)}) % {shards})"

    def clock(self) -> str:
        """See `Dialect.clock`."""
        # now() has a time zone, and a cast of it would depend on that of the session.
        return "make_timestamp(epoch_us(now()))"

    def clock_micros(self) -> str:
        """See `Dialect.clock_micros`."""
        return "epoch_us(now())"

    def definitions(self, schemas: Sequence[str]) -> str:
        """See `Dialect.definitions`."""
        listed = ", ".join(self.text(schema) for schema in schemas)
        return "\nUNION ALL ".join(
            f"SELECT schema_name || '.' || {word}_name AS name, sql AS definition, column_count "
            f"FROM duckdb_{word}s() WHERE NOT internal AND database_name = current_database() "
            f"AND schema_name IN ({listed})"
            for word in ("table", "view")
        )

    def copy_to_parquet(self, query: str, columns: Mapping[str, str], file: str) -> str:
        """See `Dialect.copy_to_parquet`: Snappy compresses it."""
        # Of integers with more than 64 bits, COPY writes doubles, which lose digits.
        exact = ", ".join(
            f"CAST({name} AS DECIMAL(38,0)) AS {name}"
            for name in (self.quote(c) for c, text in columns.items() if text in _WIDE)
        )
        replaced = f" REPLACE ({exact})" if exact else ""
        return f"COPY (SELECT *{replaced} FROM ({query}\n)) TO {self.text(file)} (FORMAT parquet)"

    def file_rows(self, file: str, delimiter: str = ",") -> str:
        """See `Dialect.file_rows`."""
        suffix = PurePath(file).suffix.lower()
        if suffix not in _READERS:
            return ""
        # A path is a pattern of paths here, and its folders named `x=y` would become columns.
        path = self.text(_WILDCARD.sub(r"[\g<0>]", file))
        options = f", delim = {self.text(delimiter)}, {_CSV}" if suffix == ".csv" else ""
        return f"{_READERS[suffix]}({path}, hive_partitioning = false{options})"
