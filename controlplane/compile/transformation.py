"""A view's SQL: read from the user's function or file, checked, and put behind its sources.

The user's text is parsed for checks but never rewritten. Each source is a CTE with the source's
name, so that `from {departures}` works as the user wrote it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import sqlglot
from sqlglot import TokenType, exp

from controlplane.base import naming, template
from controlplane.base.types import is_list, item_type
from controlplane.definitions import BatchFeatureView
from controlplane.errors import DefinitionError, Location

_PART = re.compile(r'[A-Za-z_][\w$]*|"[^"]+"|`[^`]+`')
_TABLE = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern})){{1,2}}")
OUTPUT = "plane_rows"
"""Name of the CTE that holds what the user's SQL returns."""
_WRITES = (exp.DML, exp.DDL, exp.Into, exp.Drop, exp.Alter, exp.TruncateTable)


NOT_PARSED = (sqlglot.errors.SqlglotError, AttributeError, IndexError, TypeError)
"""What sqlglot 30 raises for a text that it can't parse.

Not only its own errors: some of its builders, such as those of OBJECT_CONSTRUCT(a) and of Spark's
`|> LIMIT`, don't check that an argument exists.
"""


def _is_new(record: logging.LogRecord) -> bool:
    return "contains unsupported syntax" not in str(record.msg)


# For such a statement, such as LOAD or CALL, `query` raises an error, which says the same.
logging.getLogger("sqlglot").addFilter(_is_new)


def is_table(text: str) -> bool:
    """Tell whether `text` is `schema.table` or `catalog.schema.table`, quoted or not."""
    return _TABLE.fullmatch(text) is not None


def sql_path(view: BatchFeatureView) -> Path:
    """Return the path of the view's SQL file; only for a view that has one."""
    return Path(view.location.file).parent / (view.sql_file or "")


def table_parts(text: str) -> tuple[str, ...]:
    """Split a table's name into its parts, without quotes; empty if it is not a table's name."""
    return tuple(part.strip('"`') for part in _PART.findall(text)) if is_table(text) else ()


def text_of(view: BatchFeatureView) -> str:
    """Return the SQL from the view's function or file, with the names of its sources filled in.

    Raises:
        DefinitionError: the function raised or returned no text, or the file can't be read or
            rendered.
    """
    names = {source.name: source.name for source in view.sources}
    if view.sql_file is not None:
        path = sql_path(view)
        try:
            # Editors on Windows begin a file with a byte order mark.
            return template.render_text(
                path.read_text(encoding="utf-8-sig"), names, where=Location(str(path), 1)
            )
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError):
                reason, hint = error.strerror, "the path is relative to the definition file"
            else:
                reason, hint = "it is not UTF-8 text", "save it as UTF-8"
            raise DefinitionError(
                f"feature view {view.name!r}: its sql_file {view.sql_file!r} can't be read:"
                f" {reason}",
                where=view.location,
                hint=hint,
            ) from None
    text = view.transformation(**names)
    if not isinstance(text, str) or not text.strip():
        raise DefinitionError(
            f"feature view {view.name!r}: its function returned {type(text).__name__}, not SQL",
            where=view.location,
            hint="return one SELECT as text, or give sql_file=",
        )
    return text.strip()


def one_statement(sql: str, dialect: str) -> str:
    """Remove semicolons and comments from the end of a query, so that it can be in parentheses.

    A text that does not parse, or has several statements, is returned unchanged; `canonical` then
    says what is wrong.
    """
    try:
        tokens = sqlglot.tokenize(sql, dialect=_dialect(dialect))
    except NOT_PARSED:
        return sql
    last = len(tokens)
    while last and tokens[last - 1].token_type is TokenType.SEMICOLON:
        last -= 1
    return sql[: tokens[last - 1].end + 1].strip() if 0 < last < len(tokens) else sql.strip()


def unframed(sql: str, relations: Mapping[str, str], dialect: str) -> str:
    """Put the user's SQL behind its sources, but as the main query and not as a CTE.

    In a CTE, DuckDB renames the second of two columns with equal names; here the error shows.
    """
    ctes = ",\n".join(f"{name} AS (\n  {select}\n)" for name, select in relations.items())
    tokens = sqlglot.tokenize(sql, dialect=_dialect(dialect))
    # The user's SQL may begin with WITH: its CTEs are appended to the sources'.
    own = 0
    while tokens[own].token_type in (TokenType.WITH, TokenType.RECURSIVE):
        own += 1
    begin = "WITH RECURSIVE" if own > 1 else "WITH"
    return f"{begin} {ctes},\n{sql[tokens[own].start :]}" if own else f"{begin} {ctes}\n{sql}"


@lru_cache
def _dialect(name: str) -> sqlglot.Dialect:
    return sqlglot.Dialect.get_or_raise(name)


def query(sql: str, dialect: str) -> exp.Query:
    """Parse a query.

    Raises:
        ValueError: the text does not parse, or is not exactly one SELECT; the message says which.
    """
    statements = _statements(sql, dialect)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ValueError("its SQL must be exactly one SELECT")
    return statements[0]


def check_reads_only(sql: str, dialect: str) -> None:
    """Check that a text is one query that changes nothing.

    Raises:
        ValueError: as `query` does, or a part of it writes.
    """
    # A WITH may insert, and SELECT INTO makes a table.
    if any(statement.find(*_WRITES) for statement in _statements(sql, dialect)):
        raise ValueError("its SQL writes")
    query(sql, dialect)


def _statements(sql: str, dialect: str) -> list[exp.Expr]:
    try:
        parsed = sqlglot.parse(sql, dialect=_dialect(dialect))
        # After the last semicolon, a Semicolon node holds comments.
        return [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
    except NOT_PARSED as error:
        raise ValueError(f"its SQL does not parse: {plain(error)}") from None


def spelled(tree: exp.Query, dialect: str) -> str:
    """Write a query without comments and with uniform white space, for fingerprints.

    The tree can't be used afterwards: to copy it would take as long as to parse it.
    """
    return tree.sql(dialect=_dialect(dialect), comments=False, copy=False)


@lru_cache(maxsize=10_000)
def canonical(sql: str, dialect: str) -> str:
    """Return the canonical spelling of a query's text.

    Raises:
        ValueError: as `query` does.
    """
    return spelled(query(sql, dialect), dialect)


@lru_cache(maxsize=10_000)
def canonical_condition(sql: str, dialect: str) -> str:
    """Return the canonical spelling of a condition on a row, for fingerprints.

    Raises:
        ValueError: the text is not one expression without a subquery.
    """
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE ({sql}\n)", dialect=_dialect(dialect))
    except NOT_PARSED as error:
        raise ValueError(f"its condition does not parse: {plain(error)}") from None
    condition = tree.find(exp.Where)
    if condition is None or condition.find(exp.Query) or not isinstance(condition.this, exp.Paren):
        raise ValueError("its condition must be one expression on the columns of a row")
    return tree.sql(dialect=_dialect(dialect), comments=False, copy=False)


def framed(sql: str, relations: Mapping[str, str]) -> str:
    """Put the user's SQL into the CTE `plane_rows`, behind one CTE for each source.

    Args:
        sql: one SELECT.
        relations: source name -> SELECT.
    """
    ctes = [f"{name} AS (\n  {select}\n)" for name, select in relations.items()]
    ctes.append(f"{OUTPUT} AS (\n{sql}\n)")
    return "WITH " + ",\n".join(ctes)


def plain(error: Exception) -> str:
    """Return the parser's message in one line, without colours."""
    if not isinstance(error, sqlglot.errors.SqlglotError):
        return (
            f"the parser fails at a call or clause with arguments that it doesn't expect ({error})"
        )
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split("\n")[0]


_STAND_INS = {
    "bool": "BOOLEAN",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
    "binary": "VARBINARY",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}


def stand_in(columns: Sequence[tuple[str, str]], dialect: str) -> str:
    """Return a SELECT with these columns and no rows, for a table that does not exist yet."""
    casts = (
        f'CAST(NULL AS {_stand_in_type(column_type)}) AS "{naming.stored_name(name, dialect)}"'
        for name, column_type in columns
    )
    return sqlglot.parse_one(f"SELECT {', '.join(casts)} WHERE 1 = 0").sql(dialect=dialect)


def _stand_in_type(column_type: str) -> str:
    if is_list(column_type):
        return f"ARRAY<{_stand_in_type(item_type(column_type))}>"
    return _STAND_INS.get(column_type, column_type.upper())
