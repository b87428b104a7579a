"""What a warehouse's SQL must be able to say, as text; what most of them say alike is said here.

A dialect is data (quoting, types, which form a publication has) plus the few expressions whose form
differs. `ts`, `x` and `items` are SQL texts; every method returns one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from controlplane.base.naming import instant_literal, stored_name
from controlplane.base.types import MICROSECOND, is_decimal, is_list, item_type

NULLS_FIRST = " NULLS FIRST"
"""May follow an item of an order; every dialect sorts in ascending order."""


class Dialect(ABC):
    """One warehouse's SQL.

    Attributes:
        name: what settings call it.
        quote_mark: stands around identifiers.
        types: canonical type -> its name here.
        transactional: whether several statements can take effect together.
        framed: whether windows are frames over a key's line of time (else each moment is paired
            with its tiles), tiles are rolled up, and a publication touches no more than its keys'
            history (`sql/publish.sql.j2`; else `sql/merge.sql.j2`).
        matches: whether an as-of join has a MATCH_CONDITION; else, where windows are not `framed`,
            the newest row is carried along a key's line of time.
        passing: stands before TABLE for one that lives as long as a run.
        kept_grants: follows the name of a view that is made anew, so that those who may read it
            still may.
        has_rights: whether what one may do there is granted.
        python_runtime: the version of Python that functions ask for, where it must be said.
        has_handlers: whether the text of a function in Python is a program, of which one function
            is called; else it is the body of a function.
        laterals: whether a query may be evaluated once for each row of a relation beside it
            (LATERAL), whatever it holds: then one statement evaluates many intervals of a view that
            is computed interval by interval.
        apart: follows a table's columns where several views write into it, so that they don't wait
            for each other.
        wide_integers: whether an integer column holds numbers of more than 64 bits.
        folds_case: whether names that differ in case alone are one name, quoted or not.
    """

    name: str
    quote_mark: str
    types: Mapping[str, str]
    transactional: bool = True
    framed: bool = False
    matches: bool = False
    passing: str = ""
    kept_grants: str = ""
    has_rights: bool = True
    python_runtime: str = ""
    has_handlers: bool = True
    laterals: bool = False
    apart: str = ""
    wide_integers: bool = False
    folds_case: bool = True

    def quote(self, identifier: str) -> str:
        """The identifier, safe as it stands.

        See `naming.stored_name` for one that users gave in quotes.
        """
        return _quoted(identifier, self.quote_mark, self.name)

    def function_name(self, schema: str, name: str) -> str:
        """What a function that we make is called by."""
        return f"{self.quote(schema)}.{self.quote(name)}"

    def function_type(self, canonical: str) -> str:
        """The type in which functions in Python take and give a value."""
        return self.type(canonical)

    def open_name(self, variable: str, suffix: str = "") -> str:
        """An identifier that a run decides, as a place that is still open, and what follows it."""
        mark = self.quote_mark
        return f"{mark}{{{{ {variable} }}}}{suffix}{mark}"

    def open_text(self, variable: str) -> str:
        """A string literal that a run decides; quotes in it are doubled already."""
        return f"'{{{{ {variable} }}}}'"

    def text(self, value: str) -> str:
        """A string literal."""
        return "'" + value.replace("'", "''") + "'"

    def literal(self, value: object, canonical: str) -> str:
        """A literal of a key's type; a timestamp is given in microseconds since the epoch."""
        if canonical == "timestamp":
            return self.from_micros(str(value))
        if isinstance(value, bytes):
            return self.bytes(value)
        return self.cast(self.text(str(value)), canonical)

    def overwrite(self, table: str) -> str:
        """What stands before a query whose rows become those of a table."""
        return f"INSERT OVERWRITE INTO {table}"

    def commented_view(self, view: str, comment: str, columns: Mapping[str, str]) -> str:
        """The beginning of a statement that makes a view anew.

        Comments are literals, empty where there is none.
        """
        return (
            f"CREATE OR REPLACE VIEW {view}{self._commented(columns)}{self.kept_grants} COMMENT ="
            f" {comment} AS"
        )

    def _commented(self, columns: Mapping[str, str]) -> str:
        said = (
            f"{name} COMMENT {comment}" if comment else name for name, comment in columns.items()
        )
        return f" ({', '.join(said)})" if any(columns.values()) else ""

    def readable(self, schema: str, views: Sequence[str], role: str) -> Mapping[str, str]:
        """What lets a role read some views of a schema: what each statement is for -> the
        statement."""
        statements = {
            "let the role see the schema": (
                f"GRANT USAGE ON SCHEMA {schema} TO ROLE {self.quote(role)}"
            )
        }
        for number, view in enumerate(views, start=1):
            statements[f"let the role read {number}"] = (
                f"GRANT SELECT ON VIEW {view} TO ROLE {self.quote(role)}"
            )
        return statements

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
        """The type of sums of integers: parts of a sum may be larger than the whole, which must fit
        into 64 bits."""
        return self.type("decimal(38,0)")

    def widen(self, table: str, column: str, kind: str, members: Sequence[str] = ()) -> list[str]:
        """Statements that give sums of integers the type `wide_integer`; they may be run again.

        Args:
            table: its quoted name.
            column: its quoted name.
            kind: the column's type afterwards, in the warehouse's SQL.
            members: quoted names of the sums, where the column is a list of structs.
        """
        return [f"ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {kind}"]

    def cast(self, x: str, canonical: str) -> str:
        """`x`, an expression of ours, in exactly this type."""
        return f"CAST({x} AS {self.type(canonical)})"

    def constants(self, rows: Sequence[Mapping[str, str]]) -> str:
        """A query for rows of constants: the name and the value of each column, alike in all
        rows."""
        lines = (
            ", ".join(f"{value} AS {self.quote(name)}" for name, value in row.items())
            for row in rows
        )
        return "\nUNION ALL ".join(f"SELECT {line}" for line in lines)

    def given(self, x: str, canonical: str) -> str:
        """`x`, which is a user's, in exactly this type: a timestamp may be of any kind."""
        return self.utc(x) if canonical == "timestamp" else self.cast(x, canonical)

    @abstractmethod
    def failing(self, message: str, canonical: str) -> str:
        """An expression of this type that stops the statement with a message when it is evaluated.

        `message` is SQL text that depends on a row: a constant might be evaluated before there is
        one.
        """

    def endless(self, ts: str) -> str:
        """The condition that a timestamp is infinite; empty where there is none that is."""
        return ""

    @abstractmethod
    def any_item(self, items: str, item: str, condition: str) -> str:
        """Whether a condition holds for an item of a list.

        `item` is what the condition calls it.
        """

    def exact_sum(self, x: str, canonical: str) -> str:
        """Aggregate: the sum of integers or decimals, exact as far as 38 digits hold it.

        Of doubles their sum.
        """
        return f"sum({x})"

    @abstractmethod
    def utc(self, ts: str) -> str:
        """A timestamp of any kind as ours are, in UTC, whatever the session's time zone is."""

    def comparable(self, ts: str) -> str:
        """A timestamp of any kind as something to compare with instants of ours."""
        return self.utc(ts)

    def instant(self, value: datetime | str) -> str:
        """A literal for an instant, or for a template's text that becomes one."""
        text = value if isinstance(value, str) else instant_literal(value)
        return f"TIMESTAMP '{text}'"

    @abstractmethod
    def from_micros(self, x: str) -> str:
        """The instant so many microseconds after the epoch."""

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
        """A literal for a duration, as the bounds of frames are given.

        Only where windows are `framed`.
        """
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
        """The midnight with which a calendar's period begins.

        0 holds 1970-01-01, for weeks the Monday after it.
        """

    def greatest(self, *values: str) -> str:
        """The greatest of several values; nulls among them don't count."""
        return f"greatest({', '.join(values)})"

    def least(self, *values: str) -> str:
        """The least of several values; nulls among them don't count."""
        return f"least({', '.join(values)})"

    def filtered(self, function: str, x: str, condition: str) -> str:
        """An aggregate over the rows that fulfil a condition; an empty one is fulfilled by all."""
        return (
            f"{function}(CASE WHEN {condition} THEN {x} END)" if condition else f"{function}({x})"
        )

    def not_a_number(self, x: str) -> str:
        """Whether a double is NaN."""
        return f"isnan({x})"

    def finite(self, x: str) -> str:
        """Whether a double is neither NaN nor infinite."""
        return (
            f"(NOT {self.not_a_number(x)} AND abs({x}) < {self.cast(self.text('inf'), 'float64')})"
        )

    def in_period(self, calendar: str, alias: str, moment: str, *, outer: bool = False) -> str:
        """A join with the period of a calendar (a relation with `starts_at` and `ends_at`) that
        holds a moment."""
        kind = "LEFT JOIN" if outer else "JOIN"
        return (
            f"{kind} {calendar} AS {alias} ON {moment} >= {alias}.starts_at AND {moment} <"
            f" {alias}.ends_at"
        )

    # Lists and structures: `items` is a list's SQL.

    @abstractmethod
    def struct(self, fields: Mapping[str, str]) -> str:
        """A structure: name -> value."""

    @abstractmethod
    def struct_type(self, fields: Mapping[str, str]) -> str:
        """The type of a structure: name -> the type's own name."""

    def member(self, x: str, name: str, kind: str) -> str:
        """A member of a structure, by its plain name; `kind` is the name of its type here."""
        return f"({x}).{self.quote(name)}"

    @abstractmethod
    def type_list(self, kind: str) -> str:
        """The type of a list of a type that the warehouse names so."""

    @abstractmethod
    def array(self, items: Sequence[str]) -> str:
        """A list of these values."""

    def empty_list(self) -> str:
        """A list without items, of any type."""
        return self.array([])

    def loose(self, items: str) -> str:
        """A list of a table, as one that can be put into a list."""
        return items

    @abstractmethod
    def collect(self, x: str, order: Sequence[str], where: str) -> str:
        """Aggregate: the values of `x`, in order, of the rows that fulfil a condition.

        Null where there is none.
        """

    @abstractmethod
    def collect_distinct(self, x: str) -> str:
        """Aggregate: the different values of `x` in ascending order, nulls left out.

        Null where there is none.
        """

    @abstractmethod
    def flatten(self, items: str) -> str:
        """The items of a list of lists."""

    @abstractmethod
    def first_of(self, items: str, n: int) -> str:
        """The first n of a list."""

    @abstractmethod
    def last_of(self, items: str, n: int) -> str:
        """The last n of a list."""

    @abstractmethod
    def item(self, items: str, position: str) -> str:
        """One item of a list; positions count from 1; null beyond its end."""

    @abstractmethod
    def last_item(self, items: str) -> str:
        """The last item of a list."""

    @abstractmethod
    def keep_first(self, items: str) -> str:
        """A list's different items, each where it stands first."""

    @abstractmethod
    def keep_last(self, items: str) -> str:
        """A list's different items, each where it stands last."""

    @abstractmethod
    def ascending(self, items: str) -> str:
        """A list in ascending order, NaN last."""

    @abstractmethod
    def distinct(self, items: str) -> str:
        """A list's different items in any order; NaN equals itself and -0.0 equals 0.0."""

    @abstractmethod
    def length(self, items: str) -> str:
        """How many items a list has."""

    @abstractmethod
    def fold(self, items: str, step: str, fields: Mapping[str, str]) -> str:
        """One structure of a list of them: `step` makes one of `a`, what was made so far, and `b`,
        the next.

        `fields` are the structure's: name -> the type's own name.
        """

    @abstractmethod
    def exploded(
        self, table: str, where: str, column: str, columns: Sequence[str], fields: Mapping[str, str]
    ) -> str:
        """A query: a row for each item of a column of lists of structures, with `columns` and the
        structure's fields.

        `where` is a condition on the table's rows `t`; `fields` maps a field to the type's own
        name.
        """

    # Percentile sketches: how often each bucket occurs. Most warehouses can't count into a map in
    # an aggregate: there a sketch lists the bucket of each value.

    def buckets_type(self) -> str:
        """The type of a sketch."""
        return self.type("array<int64>")

    def buckets(self, code: str, where: str) -> str:
        """Aggregate: the sketch of the rows that fulfil a condition.

        `code` is the bucket of each.
        """
        return self.collect(code, [code], where)

    def bucket_at(self, sketches: str, q: float) -> str:
        """Of a list of sketches the first bucket whose values and all before are more than q (n -
        1)."""
        codes = self.ascending(self.flatten(sketches))
        count, share = self.cast(self.length(codes), "float64"), self.cast(repr(q), "float64")
        return self.cast(
            self.item(codes, f"CAST(floor({share} * ({count} - 1)) AS {self.type('int64')}) + 1"),
            "int64",
        )

    def ordered(self, x: str, canonical: str) -> str:
        """A key as something that every warehouse sorts alike, whatever its collations: texts by
        the bytes of UTF-8."""
        return self.hex(x) if canonical in ("string", "binary") else x

    def hex(self, x: str) -> str:
        """The bytes of a text or of bytes, as hexadecimal digits in capitals."""
        return f"hex({x})"

    @abstractmethod
    def hash64(self, x: str, canonical: str) -> str:
        """The first 64 bits of the md5 of a value's one byte form, as 16 hexadecimal digits."""

    @abstractmethod
    def hash_share(self, digits: str) -> str:
        """Where such a hash lies between 0 and 1."""

    @abstractmethod
    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """The shard, from 0 to `shards` - 1, that a row falls into by its keys, none of which is
        null.

        The warehouse's own hash: it is the same in all sessions, and scatters keys evenly.
        """

    def definitions(self, schemas: Sequence[str]) -> str:
        """A query for all tables and views of some schemas: `name` (`schema.table`), `definition`
        (the statement that made it) and `column_count`; empty where the catalogue keeps no such
        statements."""
        return ""

    @abstractmethod
    def clock(self) -> str:
        """The warehouse's clock as a timestamp of ours."""

    def clock_micros(self) -> str:
        """The warehouse's clock in microseconds since the epoch."""
        return self.micros(self.clock())


# Of 300,000 names in a plan of 1,000 views, most are those of the view at hand.
@lru_cache(maxsize=4096)
def _quoted(identifier: str, mark: str, dialect: str) -> str:
    return mark + stored_name(identifier, dialect).replace(mark, mark * 2) + mark
