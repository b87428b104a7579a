"""The base of all dialects: the expressions that a warehouse's SQL must have.

A dialect is data (`capabilities.py`, quoting, types) and the few expressions whose form differs.
The base has the form that most warehouses share. Single values are in `values.py`, lists and
structures in `lists.py`. `ts`, `x` and `items` are SQL texts, and nearly every method returns one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from controlplane.sql.dialects.lists import Lists


class Dialect(Lists):
    """One warehouse's SQL."""

    def function_name(self, schema: str, name: str) -> str:
        """Return the full name of a function that controlplane creates."""
        return f"{self.quote(schema)}.{self.quote(name)}"

    def function_type(self, canonical: str) -> str:
        """Return the SQL type of a Python function's parameter or result."""
        return self.type(canonical)

    def overwrite(self, table: str) -> str:
        """Return the text before a query whose rows replace those of a table."""
        return f"INSERT OVERWRITE INTO {table}"

    def commented_view(self, view: str, comment: str, columns: Mapping[str, str]) -> str:
        """Begin a statement that replaces a view, with the comments that fit into it.

        Args:
            view: its quoted name.
            comment: a literal.
            columns: quoted name -> a literal, empty where the column has no comment.
        """
        named = self._commented(columns)
        return f"CREATE OR REPLACE VIEW {view}{named}{self.kept_grants} COMMENT = {comment} AS"

    def view_comments(self, view: str, comment: str, columns: Mapping[str, str]) -> Sequence[str]:
        """List the statements for comments that `commented_view` leaves out; same arguments."""
        return ()

    def _commented(self, columns: Mapping[str, str]) -> str:
        listed = (
            f"{name} COMMENT {comment}" if comment else name for name, comment in columns.items()
        )
        return f" ({', '.join(listed)})" if any(columns.values()) else ""

    def readable(self, schema: str, views: Sequence[str], role: str) -> Mapping[str, str]:
        """Return the statements that let a role read views of a schema: purpose -> SQL."""
        usage = f"GRANT USAGE ON SCHEMA {schema} TO ROLE {self.quote(role)}"
        statements = {"let the role see the schema": usage}
        for number, view in enumerate(views, start=1):
            statements[f"let the role read {number}"] = (
                f"GRANT SELECT ON VIEW {view} TO ROLE {self.quote(role)}"
            )
        return statements

    def widen(
        self, table: str, column: str, column_type: str, members: Sequence[str] = ()
    ) -> list[str]:
        """List statements that give sums of integers the type `wide_integer`; they may be repeated.

        Args:
            table: its quoted name.
            column: its quoted name.
            column_type: the column's new type, in the warehouse's SQL.
            members: the quoted names of the sums if the column is a list of structs.
        """
        return [f"ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {column_type}"]

    def constants(self, rows: Sequence[Mapping[str, str]]) -> str:
        """Render a query for rows of constants; all rows map the same names to values."""
        lines = (
            ", ".join(f"{value} AS {self.quote(name)}" for name, value in row.items())
            for row in rows
        )
        return "\nUNION ALL ".join(f"SELECT {line}" for line in lines)

    @abstractmethod
    def hash64(self, x: str, canonical: str) -> str:
        """Render the first 64 bits of the md5 of a value's text form, as 16 hexadecimal digits."""

    @abstractmethod
    def hash_share(self, digits: str) -> str:
        """Render the position of such a hash between 0 and 1."""

    @abstractmethod
    def shard_of(self, keys: Sequence[str], shards: int) -> str:
        """Render the shard, 0 to `shards` - 1, of a row by its keys, none of which is null.

        It is the warehouse's own hash, which is the same in all sessions and scatters keys evenly.
        """

    def definitions(self, schemas: Sequence[str]) -> str:
        """Render a query for all tables and views of some schemas.

        Its columns are `name` (`schema.table`), `definition` (the statement that made it) and
        `column_count`. Empty where the catalogue keeps no such statements.
        """
        return ""

    def copy_to_parquet(self, query: str, columns: Mapping[str, str], file: str) -> str:
        """Render a statement that writes a query's rows to a Parquet file of this machine.

        Empty where the warehouse runs elsewhere.

        Args:
            query: one query.
            columns: its columns, with their types as `Warehouse.describe_all` spells them.
            file: the path of the file.
        """
        return ""

    def file_rows(self, file: str, delimiter: str = ",") -> str:
        """Render a table function that reads a file of this machine.

        Empty where the warehouse runs elsewhere, and for an unknown format.

        Args:
            file: a path that ends in `.parquet`, `.csv`, `.json`, `.ndjson` or `.jsonl`.
            delimiter: of a CSV file, whose first line must name the columns.
        """
        return ""
