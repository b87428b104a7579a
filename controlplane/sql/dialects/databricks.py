"""Databricks: Spark SQL on Delta tables. Each statement takes effect by itself.

The session's time zone is UTC; timestamps are instants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.base.types import MICROSECOND
from controlplane.sql.dialects.base import Dialect
from controlplane.sql.dialects.lists import NULLS_FIRST


class Databricks(Dialect):
    """Databricks' SQL."""

    name = "databricks"
    quote_mark = "`"
    types: Mapping[str, str] = {
        "bool": "BOOLEAN",
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "string": "STRING",
        "binary": "BINARY",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    }
    transactional = False
    has_handlers = False
    # Delta may refuse one of two concurrent changes of a partition.
    partitioned_by_view = " PARTITIONED BY (feature_view)"

    def function_name(self, schema: str, name: str) -> str:
        """See `Dialect.function_name`: a temporary function lies in no schema."""
        return self.quote(name)

    def function_type(self, canonical: str) -> str:
        """See `Dialect.function_type`.

        What Python makes of a TIMESTAMP depends on the time zone of its process.
        """
        return self.type(canonical).replace("TIMESTAMP", "TIMESTAMP_NTZ")

    def open_text(self, variable: str) -> str:
        """See `Dialect.open_text`."""
        return super().open_text(rf"""{variable} | replace('\\', '\\\\') | replace("''", "\\'")""")

    def text(self, value: str) -> str:
        """See `Dialect.text`: a backslash begins an escape."""
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def overwrite(self, table: str) -> str:
        """See `Dialect.overwrite`."""
        return f"INSERT OVERWRITE TABLE {table}"

    def commented_view(self, view: str, comment: str, columns: Mapping[str, str]) -> str:
        """See `Dialect.commented_view`."""
        return f"CREATE OR REPLACE VIEW {view}{self._commented(columns)} COMMENT {comment} AS"

    def readable(self, schema: str, views: Sequence[str], role: str) -> Mapping[str, str]:
        """See `Dialect.readable`: a view is granted as a table."""
        usage = f"GRANT USE SCHEMA ON SCHEMA {schema} TO {self.quote(role)}"
        statements = {"let the role see the schema": usage}
        for number, view in enumerate(views, start=1):
            statements[f"let the role read {number}"] = (
                f"GRANT SELECT ON TABLE {view} TO {self.quote(role)}"
            )
        return statements

    def constants(self, rows: Sequence[Mapping[str, str]]) -> str:
        """See `Dialect.constants`: each part of a union would be a task of its own."""
        lines = ",\n".join(f"({', '.join(row.values())})" for row in rows)
        return f"SELECT * FROM VALUES {lines} AS constants ({', '.join(map(self.quote, rows[0]))})"

    def bytes(self, value: bytes) -> str:
        """See `Dialect.bytes`."""
        return f"X'{value.hex()}'"

    def failing(self, message: str, canonical: str) -> str:
        """See `Dialect.failing`."""
        return f"raise_error({message})"

    def any_item(self, items: str, item: str, condition: str) -> str:
        """See `Dialect.any_item`."""
        return f"exists({items}, {item} -> {condition})"

    def exact_sum(self, x: str, canonical: str) -> str:
        """See `Dialect.exact_sum`: a sum of BIGINT overflows at 64 bits."""
        return f"sum(CAST({x} AS DECIMAL(19,0)))" if canonical == "int64" else f"sum({x})"

    def widen(
        self, table: str, column: str, column_type: str, members: Sequence[str] = ()
    ) -> list[str]:
        """See `Dialect.widen`: Delta keeps the files and reads them in the wider type."""
        paths = [f"{column}.element.{member}" for member in members] or [column]
        return [
            # First: without the property, Delta refuses to change the type.
            f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
            *(
                f"ALTER TABLE {table} ALTER COLUMN {path} TYPE {self.wide_integer}"
                for path in paths
            ),
        ]

    def utc(self, ts: str) -> str:
        """See `Dialect.utc`."""
        return f"CAST({ts} AS TIMESTAMP)"

    def instant(self, value: datetime | str) -> str:
        """See `Dialect.instant`: with an explicit zone, UTC."""
        return super().instant(value)[:-1] + "Z'"

    def from_micros(self, x: str) -> str:
        """See `Dialect.from_micros`."""
        return f"timestamp_micros({x})"

    def micros(self, ts: str) -> str:
        """See `Dialect.micros`."""
        return f"unix_micros({ts})"

    def plus_micros(self, ts: str, micros: str) -> str:
        """See `Dialect.plus_micros`."""
        return f"timestamp_micros(unix_micros({ts}) + {micros})"

    def floor(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """See `Dialect.floor`."""
        # pmod, not %: of a time before the epoch, % would be negative and round up.
        since = f"unix_micros({ts})" + (f" - {phase // MICROSECOND}" if phase else "")
        return f"timestamp_micros(unix_micros({ts}) - pmod({since}, {step // MICROSECOND}))"

    def numbers(self, first: int, last: int) -> str:
        """See `Dialect.numbers`."""
        return f"SELECT explode(sequence({first}, {last})) AS number"

    def period_start(self, unit: str, number: str) -> str:
        """See `Dialect.period_start`."""
        day = {
            "day": f"date_add(DATE '1970-01-01', {number})",
            "week": f"date_add(DATE '1970-01-05', 7 * ({number}))",
        }.get(unit, f"add_months(DATE '1970-01-01', {number})")
        return f"CAST({day} AS TIMESTAMP)"

    def struct(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct`."""
        return f"named_struct({', '.join(f'{self.text(name)}, {x}' for name, x in fields.items())})"

    def struct_type(self, fields: Mapping[str, str]) -> str:
        """See `Dialect.struct_type`."""
        return (
            f"STRUCT<{', '.join(f'{self.quote(name)}: {type_}' for name, type_ in fields.items())}>"
        )

    def type_list(self, item_type: str) -> str:
        """See `Dialect.type_list`."""
        return f"ARRAY<{item_type}>"

    def array(self, items: Sequence[str]) -> str:
        """See `Dialect.array`."""
        return f"array({', '.join(items)})"

    def collect(self, x: str, order: Sequence[str], where: str) -> str:
        """See `Dialect.collect`: structures are sorted field by field, nulls first."""
        # collect_list has no ORDER BY: the order's columns come first in a structure to sort by.
        columns = [item.removesuffix(NULLS_FIRST) for item in order]
        fields = {f"o{index}": column for index, column in enumerate(columns)} | {"x": x}
        sorted_rows = f"sort_array(collect_list({self.struct(fields)}) FILTER (WHERE {where}))"
        # Without rows, collect_list is an empty list and not null.
        return f"transform(nullif({sorted_rows}, array()), row -> row.x)"

    def collect_distinct(self, x: str) -> str:
        """See `Dialect.collect_distinct`."""
        return f"sort_array(array_distinct(nullif(collect_list({x}), array())))"

    def flatten(self, items: str) -> str:
        """See `Dialect.flatten`."""
        return f"flatten({items})"

    def first_of(self, items: str, n: int) -> str:
        """See `Dialect.first_of`."""
        return f"slice({items}, 1, {n})"

    def last_of(self, items: str, n: int) -> str:
        """See `Dialect.last_of`."""
        return f"reverse(slice(reverse({items}), 1, {n}))"

    def item(self, items: str, position: str) -> str:
        """See `Dialect.item`."""
        # Not `items[n]`, which fails beyond the end of a list in ANSI mode; `get` counts from 0.
        return f"get({items}, CAST({position} AS INT) - 1)"

    def last_item(self, items: str) -> str:
        """See `Dialect.last_item`."""
        return f"get(reverse({items}), 0)"

    def keep_first(self, items: str) -> str:
        """See `Dialect.keep_first`."""
        return f"filter({items}, (x, i) -> NOT array_contains(slice({items}, 1, i), x))"

    def keep_last(self, items: str) -> str:
        """See `Dialect.keep_last`."""
        return f"reverse({self.keep_first(f'reverse({items})')})"

    def ascending(self, items: str) -> str:
        """See `Dialect.ascending`."""
        return f"sort_array({items})"

    def distinct(self, items: str) -> str:
        """See `Dialect.distinct`."""
        return f"array_distinct({items})"

    def length(self, items: str) -> str:
        """See `Dialect.length`."""
        return f"size({items})"

    def fold(self, items: str, step: str, fields: Mapping[str, str]) -> str:
        """See `Dialect.fold`."""
        nothing = f"CAST(NULL AS {self.struct_type(fields)})"
        return f"reduce({items}, {nothing}, (a, b) -> CASE WHEN a IS NULL THEN b ELSE {step} END)"

    def exploded(
        self, table: str, where: str, column: str, columns: Sequence[str], fields: Mapping[str, str]
    ) -> str:
        """See `Dialect.exploded`."""
        kept = ", ".join([*columns, *(f"part.{self.quote(name)}" for name in fields)])
        moved = ", ".join([*(f"t.{name}" for name in columns), f"explode(t.{column}) AS part"])
        return f"SELECT {kept} FROM (SELECT {moved} FROM {table} AS t WHERE {where}) AS unnested"

    def hash64(self, x: str, canonical: str) -> str:
        """See `Dialect.hash64`."""
        return f"left(md5(CAST({self.micros(x) if canonical == 'timestamp' else x} AS STRING)), 16)"

    def hash_share(self, digits: str) -> str:
        """See `Dialect.hash_share`."""
        return f"(CAST(conv({digits}, 16, 10) AS DOUBLE) / 18446744073709551616.0)"

    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """See `Dialect.shard_of`."""
        return f"pmod(xxhash64({', '.join(keys)}), {shards})"

    def clock(self) -> str:
        """See `Dialect.clock`."""
        return "current_timestamp()"
