"""What a warehouse's SQL must be able to express; what most warehouses write alike is written here.

A dialect is data (`capabilities.py`, quoting, types) and the few expressions whose form differs.
Single values are in `values.py`, lists and structures in `lists.py`. `ts`, `x` and `items` are SQL
texts, and nearly every method returns one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from controlplane.sql.dialects.lists import Lists


class Dialect(Lists):
    """One warehouse's SQL."""

    def function_name(self, schema: str, name: str) -> str:
        """What a function that we make is called by."""
        return f"{self.quote(schema)}.{self.quote(name)}"

    def function_type(self, canonical: str) -> str:
        """The type in which functions in Python take and give a value."""
        return self.type(canonical)

    def overwrite(self, table: str) -> str:
        """What stands before a query whose rows become those of a table."""
        return f"INSERT OVERWRITE INTO {table}"

    def commented_view(self, view: str, comment: str, columns: Mapping[str, str]) -> str:
        """Begin a statement that replaces a view, with the comments that it can have.

        Args:
            view: its quoted name.
            comment: a literal.
            columns: quoted name -> a literal, empty where the column has no comment.
        """
        named = self._commented(columns)
        return f"CREATE OR REPLACE VIEW {view}{named}{self.kept_grants} COMMENT = {comment} AS"

    def view_comments(self, view: str, comment: str, columns: Mapping[str, str]) -> Sequence[str]:
        """The statements for those comments that `commented_view` leaves out; see its arguments."""
        return ()

    def _commented(self, columns: Mapping[str, str]) -> str:
        said = (
            f"{name} COMMENT {comment}" if comment else name for name, comment in columns.items()
        )
        return f" ({', '.join(said)})" if any(columns.values()) else ""

    def readable(self, schema: str, views: Sequence[str], role: str) -> Mapping[str, str]:
        """The statements that let a role read views of a schema, by what each of them is for."""
        usage = f"GRANT USAGE ON SCHEMA {schema} TO ROLE {self.quote(role)}"
        statements = {"let the role see the schema": usage}
        for number, view in enumerate(views, start=1):
            statements[f"let the role read {number}"] = (
                f"GRANT SELECT ON VIEW {view} TO ROLE {self.quote(role)}"
            )
        return statements

    def widen(self, table: str, column: str, kind: str, members: Sequence[str] = ()) -> list[str]:
        """Statements that give sums of integers the type `wide_integer`; they may be run again.

        Args:
            table: its quoted name.
            column: its quoted name.
            kind: the column's type afterwards, in the warehouse's SQL.
            members: quoted names of the sums, where the column is a list of structs.
        """
        return [f"ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {kind}"]

    def constants(self, rows: Sequence[Mapping[str, str]]) -> str:
        """A query for rows of constants: each a mapping of the same names to values."""
        lines = (
            ", ".join(f"{value} AS {self.quote(name)}" for name, value in row.items())
            for row in rows
        )
        return "\nUNION ALL ".join(f"SELECT {line}" for line in lines)

    @abstractmethod
    def hash64(self, x: str, canonical: str) -> str:
        """The first 64 bits of the md5 of a value's one byte form, as 16 hexadecimal digits."""

    @abstractmethod
    def hash_share(self, digits: str) -> str:
        """Where such a hash lies between 0 and 1."""

    @abstractmethod
    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """The shard, from 0 to `shards` - 1, of a row by its keys, none of which is null.

        The warehouse's own hash: it is the same in all sessions, and scatters keys evenly.
        """

    def definitions(self, schemas: Sequence[str]) -> str:
        """A query for all tables and views of some schemas.

        Its columns are `name` (`schema.table`), `definition` (the statement that made it) and
        `column_count`. Empty where the catalogue keeps no such statements.
        """
        return ""
