"""Lists, structures and percentile sketches in a warehouse's SQL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from controlplane.sql.dialects.values import Values

NULLS_FIRST = " NULLS FIRST"
"""May follow an item of an order; every dialect sorts in ascending order."""


class Lists(Values):
    """The part of a dialect that writes lists and structures; `items` is a list's SQL.

    A percentile sketch counts the values of each bucket. Most warehouses have no aggregate that
    counts into a map: there a sketch lists the bucket of each value.
    """

    @abstractmethod
    def struct(self, fields: Mapping[str, str]) -> str:
        """A structure: name -> value."""

    @abstractmethod
    def struct_type(self, fields: Mapping[str, str]) -> str:
        """The type of a structure: name -> the type's own name."""

    def member(self, x: str, name: str, member_type: str) -> str:
        """A member of a structure, by its plain name and its type in the warehouse's SQL."""
        return f"({x}).{self.quote(name)}"

    @abstractmethod
    def array(self, items: Sequence[str]) -> str:
        """A list of these values."""

    def empty_list(self) -> str:
        """A list without items, of any type."""
        return self.array([])

    def loose(self, items: str) -> str:
        """Cast a list of a table so that it can be an item of a list."""
        return items

    @abstractmethod
    def collect(self, x: str, order: Sequence[str], where: str) -> str:
        """Aggregate: the values of `x`, in order, of the rows that fulfil a condition.

        Null where there is no such row.
        """

    @abstractmethod
    def collect_distinct(self, x: str) -> str:
        """Aggregate: the different values of `x` in ascending order, without nulls.

        Null where there is no value.
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
    def any_item(self, items: str, item: str, condition: str) -> str:
        """Whether a condition holds for an item of a list; `item` is its name in the condition."""

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
        """Reduce a list of structures to one structure.

        `step` combines `a`, the result of all items so far, with `b`, the next item. `fields` are
        the structure's fields: name -> type in the warehouse's SQL.
        """

    @abstractmethod
    def exploded(
        self, table: str, where: str, column: str, columns: Sequence[str], fields: Mapping[str, str]
    ) -> str:
        """Render a query with a row for each item of a column of lists of structures.

        Args:
            table: the relation, which has the alias `t` in the query.
            where: a condition on its rows.
            column: the column of lists.
            columns: columns of the table to repeat in each row.
            fields: the structure's fields, which follow: name -> type in the warehouse's SQL.
        """

    def buckets_type(self) -> str:
        """The type of a sketch."""
        return self.type("array<int64>")

    def buckets(self, code: str, where: str) -> str:
        """Aggregate: the sketch of the rows that meet a condition, each in the bucket `code`."""
        return self.collect(code, [code], where)

    def bucket_at(self, sketches: str, q: float) -> str:
        """The first bucket with a cumulative count above q (n - 1) over a list of sketches."""
        codes = self.ascending(self.flatten(sketches))
        count, share = self.cast(self.length(codes), "float64"), self.cast(repr(q), "float64")
        return self.cast(
            self.item(codes, f"CAST(floor({share} * ({count} - 1)) AS {self.type('int64')}) + 1"),
            "int64",
        )
