"""What differs between warehouses in the SQL that we write: quoting, type names, and the few forms of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.errors import PlaneError
from controlplane.naming import instant_literal
from controlplane.types import EPOCH, MICROSECOND, is_decimal


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

    def literal(self, value: object, canonical: str) -> str:
        """A literal of a key's type; a timestamp is given in microseconds since the epoch."""
        if canonical == "timestamp":
            return self.from_micros(str(value))
        if isinstance(value, bytes):
            return f"unhex({self.text(value.hex())})"
        return self.cast(self.text(str(value)), canonical)

    def type(self, canonical: str) -> str:
        """The warehouse's name of a canonical type."""
        if (plain := self.types.get(canonical)) is not None:
            return plain
        if canonical.startswith("array<"):
            return self.type_list(self.type(canonical[6:-1]))
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

    def from_micros(self, x: str) -> str:
        """The instant so many microseconds after the epoch."""
        return f"make_timestamp({x})"

    def micros(self, ts: str) -> str:
        """Microseconds from the epoch to `ts`."""
        return f"epoch_us({ts})"

    def plus(self, ts: str, duration: timedelta) -> str:
        """`ts` moved by a duration."""
        if not duration:
            return ts
        sign = "+" if duration > timedelta(0) else "-"
        return f"{ts} {sign} to_microseconds({abs(duration) // MICROSECOND})"

    def span(self, duration: timedelta) -> str:
        """A literal for a duration."""
        return f"INTERVAL {duration // MICROSECOND} MICROSECONDS"

    def floor(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """The last point of a grid at or before `ts`; the grid begins `phase` after the epoch."""
        return f"time_bucket(to_microseconds({step // MICROSECOND}), {ts}, {self.instant(EPOCH + phase)})"

    def ceil(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """The first point of a grid at or after `ts`; the grid begins `phase` after the epoch."""
        return self.floor(self.plus(f"({ts})", step - MICROSECOND), step, phase)

    def minus_micros(self, ts: str, micros: str) -> str:
        """`ts` moved back by a number of microseconds."""
        return f"{ts} - to_microseconds({micros})"

    def numbers(self, first: int, last: int) -> str:
        """A query for the integers from `first` to `last`, as the column `number`."""
        return f"SELECT unnest(range({first}, {last + 1})) AS number"

    def period_start(self, unit: str, number: str) -> str:
        """The midnight with which a calendar's period begins; 0 holds 1970-01-01, for weeks the Monday after it."""
        first, step = {
            "day": ("01", f"to_days({number}::INTEGER)"),
            "week": ("05", f"to_days(7 * ({number})::INTEGER)"),
        }.get(unit, ("01", f"to_months(({number})::INTEGER)"))
        return f"TIMESTAMP '1970-01-{first}' + {step}"

    # Lists and structures: `items` is a list's SQL, `order` sorts rows in ascending order.

    def struct(self, fields: Mapping[str, str]) -> str:
        """A structure: name -> value."""
        return f"struct_pack({', '.join(f'{self.quote(name)} := {x}' for name, x in fields.items())})"

    def struct_type(self, fields: Mapping[str, str]) -> str:
        """The type of a structure: name -> the type's own name."""
        return f"STRUCT({', '.join(f'{self.quote(name)} {kind}' for name, kind in fields.items())})"

    def type_list(self, kind: str) -> str:
        """The type of a list of a type that the warehouse names so."""
        return f"{kind}[]"

    def array(self, items: Sequence[str]) -> str:
        """A list of these values."""
        return f"[{', '.join(items)}]"

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
