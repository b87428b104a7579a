"""What differs between warehouses in the SQL that we write: quoting, type names, and the few forms of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.errors import PlaneError
from controlplane.naming import instant_literal
from controlplane.types import MICROSECOND, is_decimal


@dataclass(frozen=True)
class Dialect:
    """One warehouse's SQL. Every method returns an expression as text; `ts` and `x` are such texts."""

    name: str
    quote_mark: str
    types: Mapping[str, str]

    def quote(self, identifier: str) -> str:
        """The identifier, safe as it stands."""
        mark = self.quote_mark
        return mark + identifier.replace(mark, mark * 2) + mark

    def text(self, value: str) -> str:
        """A string literal."""
        return "'" + value.replace("'", "''") + "'"

    def type(self, canonical: str) -> str:
        """The warehouse's name of a canonical type."""
        if canonical.startswith("array<"):
            return f"{self.type(canonical[6:-1])}[]"
        return canonical.upper() if is_decimal(canonical) else self.types[canonical]

    def cast(self, x: str, canonical: str) -> str:
        """`x` in exactly this type."""
        if canonical == "timestamp":
            return self.utc(x)
        return f"CAST({x} AS {self.type(canonical)})"

    def utc(self, ts: str) -> str:
        """A timestamp of any kind as a naive one in UTC, whatever the session's time zone is."""
        return f"make_timestamp(epoch_us({ts}))"

    def instant(self, value: datetime | str) -> str:
        """A literal for an instant, or for a template's text that becomes one."""
        text = value if isinstance(value, str) else instant_literal(value)
        return f"TIMESTAMP '{text}'"

    def plus(self, ts: str, duration: timedelta) -> str:
        """`ts` moved by a duration."""
        if not duration:
            return ts
        sign = "+" if duration > timedelta(0) else "-"
        return f"{ts} {sign} to_microseconds({abs(duration) // MICROSECOND})"

    def floor(self, ts: str, step: timedelta) -> str:
        """The last point of the epoch grid at or before `ts`."""
        return f"time_bucket(to_microseconds({step // MICROSECOND}), {ts}, TIMESTAMP '1970-01-01')"

    def ceil(self, ts: str, step: timedelta) -> str:
        """The first point of the epoch grid at or after `ts`."""
        return self.floor(self.plus(f"({ts})", step - MICROSECOND), step)

    # Lists: `items` is a list's SQL, `order` sorts rows in ascending order.

    def empty_list(self) -> str:
        """A list without items, of any type."""
        return "[]"

    def collect(self, x: str, order: str, where: str) -> str:
        """Aggregate: the values of `x`, in order, of the rows that fulfil a condition; null where there is none."""
        return f"list({x} ORDER BY {order}) FILTER (WHERE {where})"

    def first_of(self, items: str, n: int) -> str:
        """The first n of a list."""
        return f"({items})[:{n}]"

    def last_of(self, items: str, n: int) -> str:
        """The last n of a list."""
        return f"({items})[-{n}:]"

    def item(self, items: str, position: str) -> str:
        """One item of a list; positions count from 1."""
        return f"({items})[{position}]"

    def keep_first(self, items: str) -> str:
        """A list's different items, each where it stands first."""
        return f"list_filter({items}, lambda x, i: NOT list_contains(({items})[:i - 1], x))"

    def keep_last(self, items: str) -> str:
        """A list's different items, each where it stands last."""
        return f"list_filter({items}, lambda x, i: NOT list_contains(({items})[i + 1:], x))"

    def ascending(self, items: str) -> str:
        """A list in ascending order, NaN last."""
        return f"list_sort({items})"

    def distinct(self, items: str) -> str:
        """A list's different items in any order; NaN equals itself and -0.0 equals 0.0."""
        return f"list_distinct({items})"

    def length(self, items: str) -> str:
        """How many items a list has."""
        return f"len({items})"

    def hash64(self, x: str, canonical: str) -> str:
        """The first 64 bits of the md5 of a value's one byte form, as 16 hexadecimal digits."""
        text = f"CAST({x} AS VARCHAR)"
        if canonical == "timestamp":
            text = f"CAST(epoch_us({x}) AS VARCHAR)"
        return f"md5({text})[:16]"

    def hash_share(self, digits: str) -> str:
        """Where such a hash lies between 0 and 1."""
        return f"(CAST(CAST('0x' || {digits} AS UBIGINT) AS DOUBLE) / 18446744073709551616.0)"

    def clock(self) -> str:
        """The warehouse's clock as a naive timestamp in UTC."""
        return self.utc("now()")

    def clock_micros(self) -> str:
        """The warehouse's clock in microseconds since the epoch."""
        return "epoch_us(now())"


DUCKDB = Dialect(
    name="duckdb",
    quote_mark='"',
    types={
        "bool": "BOOLEAN",
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "string": "VARCHAR",
        "binary": "BLOB",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    },
)
DIALECTS = {dialect.name: dialect for dialect in (DUCKDB,)}


def dialect(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        PlaneError: there is none.
    """
    if name not in DIALECTS:
        raise PlaneError(f"there is no dialect {name!r}", hint=f"choose from: {', '.join(DIALECTS)}")
    return DIALECTS[name]
