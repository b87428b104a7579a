"""Names, types, literals, instants and simple expressions in a warehouse's SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from controlplane.base.naming import instant_literal, stored_name
from controlplane.base.types import MICROSECOND, is_decimal, is_list, item_type
from controlplane.sql.dialects.capabilities import Capabilities


class Values(Capabilities, ABC):
    """The part of a dialect that writes single values.

    Attributes:
        name: What settings call the dialect.
        quote_mark: The character around identifiers.
        types: Canonical type -> its name in this warehouse.
    """

    name: str
    quote_mark: str
    types: Mapping[str, str]

    def quote(self, identifier: str) -> str:
        """The identifier in quotes; see `naming.stored_name` for one that users wrote in quotes."""
        return _quoted(identifier, self.quote_mark, self.name)

    def open_name(self, variable: str, suffix: str = "") -> str:
        """Return an identifier that contains a variable of the run, and a fixed suffix."""
        mark = self.quote_mark
        return f"{mark}{{{{ {variable} }}}}{suffix}{mark}"

    def open_text(self, variable: str) -> str:
        """Return a string literal with a variable of the run, in which quotes are doubled."""
        return f"'{{{{ {variable} }}}}'"

    def text(self, value: str) -> str:
        """A string literal."""
        return "'" + value.replace("'", "''") + "'"

    @abstractmethod
    def bytes(self, value: bytes) -> str:
        """A literal of bytes."""

    def type(self, canonical: str) -> str:
        """The warehouse's name of a canonical type."""
        if (plain := self.types.get(canonical)) is not None:
            return plain
        if is_list(canonical):
            return self.type_list(self.type(item_type(canonical)))
        return canonical.upper() if is_decimal(canonical) else self.types[canonical]

    @property
    def wide_integer(self) -> str:
        """The type of sums of integers.

        A sum must fit into 64 bits, but a part of it may be larger.
        """
        return self.type("decimal(38,0)")

    @abstractmethod
    def type_list(self, item_type: str) -> str:
        """Return the type of a list, given the warehouse's type of an item."""

    def cast(self, x: str, canonical: str) -> str:
        """Cast an expression that controlplane rendered to exactly this type."""
        return f"CAST({x} AS {self.type(canonical)})"

    def from_user(self, x: str, canonical: str) -> str:
        """Cast a user's expression to exactly this type; its timestamps may have any zone."""
        return self.utc(x) if canonical == "timestamp" else self.cast(x, canonical)

    def literal(self, value: object, canonical: str) -> str:
        """Render a literal of a key's type; a timestamp is in microseconds since the epoch."""
        if canonical == "timestamp":
            return self.from_micros(str(value))
        if isinstance(value, bytes):
            return self.bytes(value)
        return self.cast(self.text(str(value)), canonical)

    def instant(self, value: datetime | str) -> str:
        """A literal for an instant, or for a template's text that becomes one."""
        text = value if isinstance(value, str) else instant_literal(value)
        return f"TIMESTAMP '{text}'"

    @abstractmethod
    def from_micros(self, x: str) -> str:
        """Render the instant of a number of microseconds after the epoch."""

    @abstractmethod
    def micros(self, ts: str) -> str:
        """Microseconds from the epoch to `ts`."""

    def plus(self, ts: str, duration: timedelta) -> str:
        """`ts` moved by a duration."""
        return self.plus_micros(ts, str(duration // MICROSECOND)) if duration else ts

    @abstractmethod
    def plus_micros(self, ts: str, micros: str) -> str:
        """`ts` moved by a number of microseconds."""

    def span(self, duration: timedelta) -> str:
        """Render a literal for a duration, to bound a frame or to add to an instant."""
        return f"INTERVAL {duration // MICROSECOND} MICROSECONDS"

    @abstractmethod
    def floor(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """The last point of a grid at or before `ts`; the grid begins `phase` after the epoch."""

    def ceil(self, ts: str, step: timedelta, phase: timedelta = timedelta(0)) -> str:
        """The first point of a grid at or after `ts`; the grid begins `phase` after the epoch."""
        return self.floor(self.plus(f"({ts})", step - MICROSECOND), step, phase)

    @abstractmethod
    def numbers(self, first: int, last: int) -> str:
        """A query for the integers from `first` to `last`, as the column `number`."""

    @abstractmethod
    def period_start(self, unit: str, number: str) -> str:
        """The midnight at which a calendar's period begins.

        Period 0 holds 1970-01-01; for weeks it begins on the Monday after it.
        """

    def in_period(self, calendar: str, alias: str, moment: str, *, outer: bool = False) -> str:
        """A join with the period of a calendar that holds a moment.

        The calendar is a relation with `starts_at` and `ends_at`.
        """
        join = "LEFT JOIN" if outer else "JOIN"
        inside = f"{moment} >= {alias}.starts_at AND {moment} < {alias}.ends_at"
        return f"{join} {calendar} AS {alias} ON {inside}"

    @abstractmethod
    def utc(self, ts: str) -> str:
        """Convert a timestamp of any SQL type to UTC, whatever the session's time zone is."""

    def comparable(self, ts: str) -> str:
        """Convert a timestamp of any SQL type so that it compares with rendered instants."""
        return self.utc(ts)

    def endless(self, ts: str) -> str:
        """The condition that a timestamp is infinite; empty if the warehouse has no infinity."""
        return ""

    @abstractmethod
    def clock(self) -> str:
        """The warehouse's clock as a timestamp in UTC."""

    def clock_micros(self) -> str:
        """The warehouse's clock in microseconds since the epoch."""
        return self.micros(self.clock())

    def greatest(self, *values: str) -> str:
        """The greatest of several values; nulls are ignored."""
        return f"greatest({', '.join(values)})"

    def least(self, *values: str) -> str:
        """The least of several values; nulls are ignored."""
        return f"least({', '.join(values)})"

    def filtered(self, function: str, x: str, condition: str) -> str:
        """An aggregate over the rows that meet a condition; an empty condition means all rows."""
        return (
            f"{function}(CASE WHEN {condition} THEN {x} END)" if condition else f"{function}({x})"
        )

    def exact_sum(self, x: str, canonical: str) -> str:
        """Aggregate: a sum; exact up to 38 digits for integers and decimals."""
        return f"sum({x})"

    def not_a_number(self, x: str) -> str:
        """Whether a double is NaN."""
        return f"isnan({x})"

    def finite(self, x: str) -> str:
        """Whether a double is neither NaN nor infinite."""
        return (
            f"(NOT {self.not_a_number(x)} AND abs({x}) < {self.cast(self.text('inf'), 'float64')})"
        )

    @abstractmethod
    def failing(self, message: str, canonical: str) -> str:
        """An expression of this type that stops the statement with a message when it is evaluated.

        `message` must depend on a row: a warehouse may evaluate a constant before it looks at rows.
        """

    def hex(self, x: str) -> str:
        """The bytes of a text or of bytes, as upper-case hexadecimal digits."""
        return f"hex({x})"

    def ordered(self, x: str, canonical: str) -> str:
        """A key as a value that every warehouse sorts alike: texts by their bytes in UTF-8."""
        return self.hex(x) if canonical in ("string", "binary") else x


# A plan of 1,000 views quotes 300,000 names; most repeat those of the view just rendered.
@lru_cache(maxsize=4096)
def _quoted(identifier: str, mark: str, dialect: str) -> str:
    return mark + stored_name(identifier, dialect).replace(mark, mark * 2) + mark
